# SPDX-License-Identifier: MIT
"""Streams by docs/api.md: their lines, several outputs, events, silence."""

import time

import pytest

import wire
from server import example

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"
PLAIN = "test/plain:v1"
NOTHING = "test/nothing:v1"
QUIET = "test/quiet:v1"
LOCKSTEP = "test/lockstep:v1"
PACED = "test/paced:v1"
SEVERAL = "test/several:v1"


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    shapes, several = pipelines("shapes"), example("several.so")
    return start_shared(example("numbers.so"), example("misbehave.so"), f"{PLAIN}={shapes}:plain",
                        f"{NOTHING}={shapes}:nothing", f"{QUIET}={shapes}:quiet", f"{LOCKSTEP}={several}:lockstep",
                        f"{PACED}={several}:paced", f"{SEVERAL}={several}:several",
                        options=["--concurrency", "4", "--keepalive", "60ms", "--cancel-grace", "1s"])


# ---- lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pointer", [LOCKSTEP, PACED])
def test_several_outputs_advance_in_lock_step(server, pointer):
    lines = server.lines(pointer)
    assert [[output["value"] for output in line["outputs"]] for line in lines] == [
        [1, "static", "hello"], [2, "static", "world"], [3, "static", None], [4, "static", None]]
    assert lines[2]["outputs"][2] == {"type": "none", "value": None, "file": None}
    assert lines[0]["outputs"][1] == {"type": "string", "value": "static", "file": None}


def test_a_plain_output_beside_streams_is_repeated_and_state_is_kept_between_runs(server):
    first = server.lines(SEVERAL, "  Hello there  ", 3)
    assert [line["outputs"][0]["value"] for line in first] == ["Hello", "there", None]
    assert [line["outputs"][1]["value"] for line in first] == ["H", "e", "l"]
    assert [line["outputs"][2]["value"]["bytes"] for line in first] == [11, 11, 11]
    assert first[0]["outputs"][2]["value"]["started"] is True
    second = server.lines(SEVERAL, "x", None)
    assert second[0]["outputs"][2]["value"]["run"] == first[0]["outputs"][2]["value"]["run"] + 1


def test_a_stream_without_items_is_a_200_with_an_empty_body(server):
    with server.stream(NOTHING) as stream:
        assert stream.all() == []
        assert stream.trailers == {"Millrace-Run-State": "completed", "Millrace-Run-Lines": "0"}


def test_a_pipeline_without_a_stream_gives_its_one_result_as_one_line(server):
    [line] = server.lines(PLAIN, "x")
    assert line["outputs"][0]["value"] == {"text": "x", "bytes": 1}


@pytest.mark.parametrize("pointer,values,state,count", [
    (NUMBERS, [3, "x", 0], "completed", 3), (NOTHING, [], "completed", 0), (MISBEHAVE, ["fail_errno", 2, 0], "failed", 2),
])
def test_a_final_line_says_state_and_count_when_it_is_asked_for(server, pointer, values, state, count):
    with server.stream(pointer, *values, stream_options={"final_line": True}) as stream:
        lines = stream.all()
        assert stream.trailers == {"Millrace-Run-State": state, "Millrace-Run-Lines": str(count)}
    assert len(lines) == count + 1
    assert lines[-1]["state"] == state
    assert lines[-1]["lines"] == count
    assert lines[-1]["outputs"] is None
    assert all("lines" not in line for line in lines[:-1])


def test_without_asking_there_is_no_status_line(server):
    for options in (..., None, {}, {"final_line": False}, {"final_line": None}, {"other": 1}):
        lines = server.lines(NUMBERS, 2, "x", 0, stream_options=options)
        assert len(lines) == 2
        assert all(line["outputs"] for line in lines)


def events_of(text):
    """Server-sent events: (name, data) of each, and the comments."""
    events, comments = [], 0
    assert text.endswith(b"\n\n")
    for block in text[:-2].split(b"\n\n"):
        fields = [line.split(b": ", 1) for line in block.split(b"\n")]
        if fields[0][0] == b"":
            comments += 1
            continue
        names = [value.decode() for name, value in fields if name == b"event"]
        [data] = [value for name, value in fields if name == b"data"]
        events.append((names[0] if names else None, data))
    return events, comments


EVENTS = {"Accept": "text/event-stream"}


def test_an_event_stream_carries_the_same_objects_and_ends_with_done(server):
    answer = server.ask("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [3, "x", 0]), EVENTS)
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/event-stream"
    events, _ = events_of(answer.body)
    assert [name for name, _ in events] == [None] * 4
    assert events[-1][1] == b"[DONE]"
    assert [wire.output_of(wire.check_line(data))["i"] for _, data in events[:-1]] == [0, 1, 2]
    assert dict(answer.trailers) == {"Millrace-Run-State": "completed", "Millrace-Run-Lines": "3"}


@pytest.mark.parametrize("k", [0, 2])
def test_a_failure_in_an_event_stream_is_an_error_event(server, k):
    answer = server.ask("POST", "/v4/runs/stream", wire.run_body(MISBEHAVE, ["fail_errno", k, 0]), EVENTS)
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/event-stream"
    events, _ = events_of(answer.body)
    assert [name for name, _ in events] == [None] * k + ["error", None]
    assert wire.check_line(events[k][1])["state"] == "failed"
    assert events[-1][1] == b"[DONE]"


def test_events_arrive_one_by_one(server):
    with server.connect() as connection:
        connection.request("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [5, "x", 50]), EVENTS)
        response = connection.response_head()
        times = [time.monotonic() for piece in connection.body_pieces(response) if b"data: {" in piece]
    assert len(times) >= 4
    assert times[-1] - times[0] > 0.15


# ---- silence -----------------------------------------------------------------------------------------


def test_a_silent_stream_gets_blank_lines_which_commit_its_status(server):
    with server.stream(QUIET, True) as stream:
        assert stream.begin().status == 200
        assert [stream.next_piece() for _ in range(3)] == [b"\n"] * 3
        [run] = [run for run in server.get("/v4/runs").json()["data"] if run["state"] == "running"]
        server.ask("DELETE", f"/v4/runs/{run['id']}")
        lines = list(stream)
    assert [line["error"]["type"] for line in lines] == ["unknown"]
    assert stream.trailers == {"Millrace-Run-State": "failed", "Millrace-Run-Lines": "0"}


def test_blank_lines_follow_a_first_line_too(server):
    with server.stream(QUIET, False) as stream:
        first = stream.next()
        assert wire.output_of(first) == "once"
        times = [time.monotonic()]
        for _ in range(3):
            assert stream.next_piece() == b"\n"
            times.append(time.monotonic())
        assert times[-1] - times[0] > 0.12
        server.ask("DELETE", f"/v4/runs/{first['id']}")


def test_blank_lines_come_only_after_silence(start):
    server = start(example("numbers.so"), options=["--keepalive", "5s"])
    with server.stream(NUMBERS, 30, "x", 10) as stream:
        assert len(stream.all()) == 30
        assert stream.blank_count == 0


def test_a_silent_event_stream_gets_comments(server):
    with server.connect() as connection:
        connection.request("POST", "/v4/runs/stream", wire.run_body(QUIET, [True]), EVENTS)
        head = connection.response_head()
        assert head.header("Content-Type") == "text/event-stream"
        assert next(connection.body_pieces(head)) == b": keep-alive\n\n"
