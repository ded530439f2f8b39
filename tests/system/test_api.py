# SPDX-License-Identifier: MIT
"""The API: routes, results, statuses and bodies as docs/api.md lists them."""

import json
import re
import subprocess
import time
import urllib.parse

import pytest

import wire
from server import MILLRACE, SLOWNESS, example

NUMBERS = "local/numbers:v1"
ECHO = "local/echo:v1"
MISBEHAVE = "local/misbehave:v1"
PLAIN = "test/plain:v1"
NOTHING = "test/nothing:v1"
QUIET = "test/quiet:v1"
LOCKSTEP = "test/lockstep:v1"
PACED = "test/paced:v1"
SEVERAL = "test/several:v1"

GET_ROUTES = ["/v4/runs", "/v4/pipelines", "/v4/pipelines/" + NUMBERS, "/v4/tokens/validate", "/status", "/livez",
              "/readyz", "/v4/container/state", "/metrics", "/"]


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    shapes = pipelines("shapes")
    several = example("several.so")
    return start_shared(example("numbers.so"), example("echo.so"), example("misbehave.so"),
                        f"{PLAIN}={shapes}:plain", f"{NOTHING}={shapes}:nothing", f"{QUIET}={shapes}:quiet",
                        f"{LOCKSTEP}={several}:lockstep", f"{PACED}={several}:paced",
                        f"{SEVERAL}={several}:several",
                        options=["--concurrency", "4", "--keepalive", "60ms", "--body-limit", "200k",
                                 "--cancel-grace", "1s"])


def result_of(response):
    """A whole answer that is one result line."""
    assert response.body.count(b"\n") == 1 and response.body.endswith(b"\n")
    return wire.check_line(response.body)


# ---- routes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GET_ROUTES)
def test_head_is_get_without_the_body(server, path):
    with server.connect() as connection:
        connection.request("GET", path)
        got = connection.response()
        connection.request("HEAD", path)
        head = connection.response("HEAD")
        # What follows on the connection is the next answer, so there was no body.
        connection.request("GET", "/livez")
        assert connection.response().body == b"ok\n"
    assert got.status == head.status == 200
    assert got.header("Content-Type") == head.header("Content-Type")
    assert got.body.endswith(b"\n")
    if path not in ("/metrics", "/status"):
        assert head.header("Content-Length") == str(len(got.body))


def test_the_first_page_says_what_there_is(server):
    answer = server.get("/")
    assert answer.status == 200 and answer.header("Content-Type") == "application/json"
    index = answer.json()
    assert index["name"] == "millrace" and re.fullmatch(r"\d+\.\d+\.\d+", index["version"])
    # Each of them is there, as it says.
    for route in index["routes"]:
        path = route["path"].replace("{id}", "x")
        assert route["token"] is False and set(route["methods"]) <= {"GET", "POST", "DELETE"}
        for method in route["methods"]:
            answer = server.ask(method, path, b"" if method == "POST" else None)
            assert answer.status in ((422,) if method == "POST" else (200, 404)), route
            assert b"Not Found" not in answer.body
    assert {"/v4/runs/stream", "/v4/pipelines/{id}", "/metrics", "/"} <= {route["path"] for route in index["routes"]}


@pytest.mark.parametrize("path", ["//", "/v4", "/v4/", "/v4/run", "/v4/runs/", "/v4/runs/stream/", "/V4/runs",
                                  "/v4/runs/../runs", "//v4/runs", "/livez/", "/metrics/x", "/v4/pipelines/",
                                  "/%76%34/runs", "/favicon.ico"])
def test_an_unknown_path_is_a_404(server, path):
    answer = server.get(path)
    assert answer.status == 404
    assert answer.header("Content-Type") == "application/json"
    assert "detail" in answer.json()


@pytest.mark.parametrize("method,path,allowed", [
    ("GET", "/v4/runs/stream", "POST"), ("HEAD", "/v4/runs/stream", "POST"), ("PUT", "/v4/runs", "GET, HEAD, POST"),
    ("DELETE", "/v4/runs", "GET, HEAD, POST"), ("POST", "/v4/runs/run_x", "GET, HEAD, DELETE"),
    ("POST", "/v4/pipelines", "GET, HEAD"), ("PATCH", "/v4/pipelines/x", "GET, HEAD"), ("POST", "/livez", "GET, HEAD"),
    ("DELETE", "/readyz", "GET, HEAD"), ("POST", "/metrics", "GET, HEAD"), ("OPTIONS", "/status", "GET, HEAD"),
    ("TRACE", "/v4/tokens/validate", "GET, HEAD"), ("get", "/livez", "GET, HEAD"), ("BREW", "/livez", "GET, HEAD"),
])
def test_another_method_is_a_405_that_says_which_are_allowed(server, method, path, allowed):
    answer = server.ask(method, path)
    assert answer.status == 405
    assert answer.header("Allow") == allowed
    if method != "HEAD":
        assert isinstance(answer.json()["detail"], str)


def test_a_query_is_no_part_of_the_path(server):
    assert server.get("/livez?verbose=1").status == 200
    assert server.get("/v4/pipelines/" + NUMBERS + "?x=/y").status == 200
    with wire.Stream(server.connect(), wire.run_body(NUMBERS, [1, "x", 0]), path="/v4/runs/stream?a=b&c") as stream:
        assert len(stream.all()) == 1


def test_a_request_id_is_echoed_twice_or_made(server):
    for given in ("abc-123", "x" * 128, "~!@#$%^&*()_+"):
        answer = server.get("/livez", {"X-Request-Id": given})
        assert answer.header("X-Request-Id") == answer.header("X-Correlation-Id") == given
    made = set()
    for headers in ({}, {}, {"X-Request-Id": "x" * 129}, {"X-Request-Id": "two words"}, {"X-Request-Id": ""}):
        answer = server.get("/livez", headers)
        assert re.fullmatch("[0-9a-f]{32}", answer.header("X-Request-Id"))
        assert answer.header("X-Correlation-Id") == answer.header("X-Request-Id")
        made.add(answer.header("X-Request-Id"))
    assert len(made) == 5
    with server.stream(NUMBERS, 1, "x", 0, headers={"X-Request-Id": "mine"}) as stream:
        assert stream.begin().header("X-Request-Id") == "mine"


def test_answers_carry_a_date_and_who_made_them(server):
    answer = server.get("/livez")
    then = time.mktime(time.strptime(answer.header("Date"), "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert abs(time.time() - then) < 30
    assert answer.header("Server") == "millrace"
    assert answer.header("Connection") is None


# ---- health -----------------------------------------------------------------------------------------


def test_livez_and_readyz_say_ok(server):
    for path in ("/livez", "/readyz"):
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert answer.header("Content-Type").startswith("text/plain")


def test_status_has_version_uptime_and_counts(server):
    first, second = (server.get("/status").json() for _ in range(2))
    assert first["status"] == "ok" and first["reason"] is None
    assert re.fullmatch(r"\d+\.\d+\.\d+", first["version"])
    assert first["connections"] >= 1
    assert 0 <= first["uptime_s"] <= second["uptime_s"]


def test_container_state_is_loaded(server):
    assert server.get("/v4/container/state").json() == {"state": "loaded", "message": None, "current_run": None}


def test_pipelines_are_listed_and_found_by_pointer_id_and_escaped_pointer(server):
    listed = server.get("/v4/pipelines").json()
    assert listed["total"] == len(listed["data"]) == 9
    pipeline = next(entry for entry in listed["data"] if entry["pointer"] == NUMBERS)
    assert pipeline["state"] == "ready" and pipeline["name"] == "numbers" and pipeline["error"] is None
    assert wire.PIPELINE_ID.match(pipeline["id"])
    assert [variable["title"] for variable in pipeline["input_variables"]] == ["N", "S", "MS"]
    for name in (NUMBERS, pipeline["id"], urllib.parse.quote(NUMBERS, safe="")):
        assert server.pipeline(name)["id"] == pipeline["id"]
    assert server.lines(pipeline["id"], 1, "by id", 0)[0]["pipeline_id"] == pipeline["id"]
    answer = server.get("/v4/pipelines/no/such:v1")
    assert answer.status == 404
    assert answer.json() == {"detail": {"message": "Pipeline not found"}}


# ---- one result ---------------------------------------------------------------------------------------


def test_a_plain_run_of_a_stream_collects_its_values(server):
    answer = server.run(NUMBERS, 4, "x", 0)
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    result = result_of(answer)
    assert result["state"] == "completed"
    [output] = result["outputs"]
    assert output["type"] == "array"
    assert [value["i"] for value in output["value"]] == [0, 1, 2, 3]


def test_a_plain_run_of_a_plain_pipeline_is_its_value(server):
    result = result_of(server.run(PLAIN, "é"))
    assert result["outputs"] == [{"type": "dictionary", "value": {"text": "é", "bytes": 2}, "file": None}]


def test_a_plain_run_of_a_stream_without_items_is_an_empty_array(server):
    assert result_of(server.run(NOTHING))["outputs"] == [{"type": "array", "value": [], "file": None}]


def test_a_plain_run_of_several_outputs_has_each_in_its_place(server):
    outputs = result_of(server.run(LOCKSTEP))["outputs"]
    assert [(output["type"], output["value"]) for output in outputs] == [
        ("array", [1, 2, 3, 4]), ("string", "static"), ("array", ["hello", "world"])]


def test_a_plain_run_above_the_body_limit_is_an_error_that_names_the_stream(server):
    result = result_of(server.run(NUMBERS, 100000, "x" * 50, 0))
    assert result["state"] == "failed"
    assert "/v4/runs/stream" in result["error"]["message"]


def test_a_plain_run_that_fails_is_a_failed_result(server):
    answer = server.run(MISBEHAVE, "fail_errno", 3, 0)
    assert answer.status == 200
    result = result_of(answer)
    assert result["state"] == "failed"
    assert result["error"]["type"] == "pipeline_error"


def test_an_async_run_answers_at_once_and_its_result_is_looked_up(server):
    began = time.monotonic()
    answer = server.run(NUMBERS, 10, "later", 30, async_run=True)
    assert time.monotonic() - began < 0.3 * SLOWNESS
    first = result_of(answer)
    assert first["state"] in ("queued", "running")
    while (now := server.get(f"/v4/runs/{first['id']}").json())["state"] in ("queued", "running"):
        assert time.monotonic() - began < 10 * SLOWNESS
        time.sleep(0.01)
    assert now["state"] == "completed"
    assert time.monotonic() - began > 0.25
    assert [value["i"] for value in now["outputs"][0]["value"]] == list(range(10))


def test_an_async_stream_is_a_422(server):
    with server.stream(NUMBERS, 1, "x", 0, async_run=True) as stream:
        assert stream.begin().status == 422


# ---- streams ------------------------------------------------------------------------------------------


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


# ---- silence ------------------------------------------------------------------------------------------


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


# ---- runs ---------------------------------------------------------------------------------------------


def test_a_run_can_be_watched_cancelled_and_looked_up_afterwards(server):
    with server.stream(NUMBERS, 100000, "x", 5) as stream:
        first = stream.next()
        path = f"/v4/runs/{first['id']}"
        live = server.get(path).json()
        assert (live["id"], live["state"], live["error"]) == (first["id"], "running", None)
        assert live["lines"] >= 1 and live["outputs"] is None
        cancelled = server.ask("DELETE", path)
        assert cancelled.status == 200
        last = list(stream)[-1]
    assert last["state"] == "failed" and last["error"]["type"] == "unknown"
    assert "DELETE" in last["error"]["message"]
    past = server.get(path).json()
    assert past["state"] == "failed"
    assert past["error"] == last["error"] == cancelled.json()["error"]
    # Cancelling twice is no mistake.
    assert server.ask("DELETE", path).json()["error"] == last["error"]


def test_a_completed_run_is_remembered_with_its_count(server):
    lines = server.lines(NUMBERS, 7, "x", 0)
    past = server.get(f"/v4/runs/{lines[0]['id']}").json()
    assert past["state"] == "completed" and past["lines"] == 7 and past["error"] is None
    assert past["created_at"] == lines[0]["created_at"]
    assert past["pipeline_id"] == lines[0]["pipeline_id"]


def test_recent_runs_are_listed_newest_first_live_ones_before(server):
    ids = [server.lines(NUMBERS, 1, "x", 0)[0]["id"] for _ in range(3)]
    with server.stream(NUMBERS, 1000, "x", 50) as stream:
        live = stream.next()["id"]
        listed = server.get("/v4/runs").json()
        assert listed["limit"] == 100
        assert listed["total"] == len(listed["data"]) <= 100
        assert [run["id"] for run in listed["data"]][:4] == [live, *reversed(ids)]
        assert [run["state"] for run in listed["data"]][:4] == ["running"] + ["completed"] * 3
    for run in listed["data"]:
        wire.check_line(json.dumps(run))


@pytest.mark.parametrize("run_id", ["run_" + "0" * 32, "run_", "x", "stream2", "%00", "a" * 300, "%zz"])
def test_an_unknown_run_is_a_404(server, run_id):
    for method in ("GET", "DELETE"):
        answer = server.ask(method, "/v4/runs/" + run_id)
        assert answer.status == 404
        assert "detail" in answer.json()


# ---- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body,location,kind", [
    (b"", ["body"], "value_error.missing"),
    (b"{", ["body", 1], "value_error.jsondecode"),
    (b'{"inputs":[],}', ["body", 13], "value_error.jsondecode"),
    (b'{"inputs":[]} x', ["body", 14], "value_error.jsondecode"),
    (b"\xef\xbb\xbf{}", ["body", 0], "value_error.jsondecode"),
    (b"[]", ["body"], "type_error.dict"),
    (b"null", ["body"], "type_error.dict"),
    (b'"x"', ["body"], "type_error.dict"),
    (b'{"pipeline":"%s"}', ["body", "inputs"], "value_error.missing"),
    (b'{"pipeline":"%s","inputs":null}', ["body", "inputs"], "type_error.none.not_allowed"),
    (b'{"pipeline":"%s","inputs":{}}', ["body", "inputs"], "type_error.list"),
    (b'{"pipeline":"%s","inputs":[1]}', ["body", "inputs", 0], "type_error.dict"),
    (b'{"pipeline":"%s","inputs":[{"type":"string","value":""},{"value":1}]}', ["body", "inputs", 1, "type"],
     "value_error.missing"),
    (b'{"pipeline":"%s","inputs":[{"type":"text","value":1}]}', ["body", "inputs", 0, "type"], "type_error.enum"),
    (b'{"pipeline":"%s","inputs":[{"type":7,"value":1}]}', ["body", "inputs", 0, "type"], "type_error.enum"),
    (b'{"pipeline":7,"inputs":[]}', ["body", "pipeline"], "type_error.str"),
    (b'{"inputs":[]}', ["body", "pipeline"], "value_error.missing"),
    (b'{"pipeline":"%s","inputs":[],"async_run":"yes"}', ["body", "async_run"], "type_error.bool"),
    (b'{"pipeline":"%s","inputs":[],"wait_for_resources":1}', ["body", "wait_for_resources"], "type_error.bool"),
    (b'{"pipeline":"%s","inputs":[],"stream_options":[]}', ["body", "stream_options"], "type_error.dict"),
    (b'{"pipeline":"%s","inputs":[],"stream_options":{"final_line":1}}', ["body", "stream_options", "final_line"],
     "type_error.bool"),
])
@pytest.mark.parametrize("path", ["/v4/runs", "/v4/runs/stream"])
def test_a_malformed_body_is_a_422_that_says_where(server, path, body, location, kind):
    with server.connect() as connection:
        connection.request("POST", path, body.replace(b"%s", NOTHING.encode()))
        answer = connection.response()
        assert answer.status == 422
        [detail] = answer.json()["detail"]
        assert detail["loc"] == location
        assert detail["type"] == kind
        assert detail["msg"]
        # The framing was fine, so the connection goes on.
        connection.request("GET", "/livez")
        assert connection.response().status == 200


@pytest.mark.parametrize("pointer", ["no/such:v1", "", "pipeline_" + "0" * 32, "x" * 1000, NUMBERS + " "])
def test_an_unknown_pipeline_is_a_404(server, pointer):
    for path in ("/v4/runs", "/v4/runs/stream"):
        answer = server.ask("POST", path, wire.run_body(pointer, []))
        assert answer.status == 404
        assert answer.json() == {"detail": {"message": "Pipeline not found"}}


def test_wrong_inputs_are_one_result_line_on_both_routes(server):
    for path, kind in (("/v4/runs", "application/json"), ("/v4/runs/stream", "application/x-ndjson")):
        answer = server.ask("POST", path, wire.run_body(NUMBERS, ["x", 1, 2]))
        assert answer.status == 400
        assert answer.header("Content-Type") == kind
        result = result_of(answer)
        assert result["state"] == "failed"
        assert result["error"]["type"] == "input_error"


def test_the_pipeline_may_be_left_out_when_there_is_one(start):
    server = start(example("numbers.so"))
    for pointer in (..., None):
        assert len(server.lines(pointer, 2, "x", 0)) == 2


def test_a_full_queue_is_a_429_with_the_time_to_wait(start):
    server = start(example("numbers.so"), options=["--queue", "1"])
    # So that there is a measured service time: about a second.
    assert len(server.lines(NUMBERS, 10, "x", 100)) == 10
    with server.stream(NUMBERS, 1000, "running", 20) as running:
        running.next()
        with server.stream(NUMBERS, 1, "waiting", 0) as waiting:
            while server.pipeline(NUMBERS)["queued"] == 0:
                pass
            for path in ("/v4/runs", "/v4/runs/stream"):
                answer = server.ask("POST", path, wire.run_body(NUMBERS, [1, "too many", 0]))
                assert answer.status == 429
                assert 1 <= int(answer.header("Retry-After")) <= 5
                result = result_of(answer)
                assert result["state"] == "no_resources_available"
                assert result["error"]["type"] == "unknown"
            running.close()
            assert len(waiting.all()) == 1
    assert server.metric(f'millrace_refusals_total{{pipeline="{NUMBERS}",cause="queue_full"}}') == 2


def test_without_a_queue_a_run_starts_at_once_or_is_refused(start):
    server = start(example("numbers.so"), options=["--queue", "0"])
    with server.stream(NUMBERS, 1000, "running", 20) as running:
        running.next()
        assert server.run(NUMBERS, 1, "x", 0).status == 429
    assert_eventually_served(server)


def assert_eventually_served(server):
    deadline = time.monotonic() + 5 * SLOWNESS
    while server.run(NUMBERS, 1, "x", 0).status != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("status", [200, 500])
def test_the_status_of_a_failure_before_any_output_is_configured(start, status):
    server = start(example("misbehave.so"), options=["--pipeline-error-status", str(status)])
    for how in ("fail_errno", "exit"):
        for path in ("/v4/runs", "/v4/runs/stream"):
            answer = server.ask("POST", path, wire.run_body(MISBEHAVE, [how, 0, 0]))
            assert answer.status == status
            assert result_of(answer)["state"] == "failed"
    # After the first line it is too late.
    with server.stream(MISBEHAVE, "fail_errno", 1, 0) as stream:
        assert stream.all()[-1]["state"] == "failed"


# ---- starting -------------------------------------------------------------------------------------------


def test_while_a_pipeline_loads_its_runs_are_a_503_and_then_it_serves(start, pipelines):
    pointer = "test/patient:v1"
    server = start(f"{pointer}={pipelines('startup')}:patient", wait=False).wait_listening()
    ready = server.get("/readyz")
    assert ready.status == 503
    assert pointer.encode() in ready.body and b"loading" in ready.body
    assert server.get("/livez").status == 200
    assert server.get("/status").json()["status"] == "unready"
    assert server.get("/v4/container/state").json()["state"] == "loading"
    assert server.pipeline(pointer)["state"] == "loading"
    for path in ("/v4/runs", "/v4/runs/stream"):
        answer = server.ask("POST", path, wire.run_body(pointer, []))
        assert answer.status == 503
        assert int(answer.header("Retry-After")) >= 1
        result = result_of(answer)
        assert result["state"] == "no_resources_available"
        assert result["error"]["type"] == "pipeline_loading"
    assert server.ready_line is None
    with open(server.folder + "/go", "wb"):
        server.wait_ready()
    assert server.get("/readyz").status == 200
    assert wire.output_of(server.lines(pointer)[0]) == "started"


@pytest.mark.parametrize("name,words", [("broken", "no model in /nowhere"), ("crashing", "signal 6 (SIGABRT)")])
def test_a_pipeline_that_does_not_start_is_a_500_with_the_reason_and_others_are_served(start, pipelines, name, words):
    pointer = f"test/{name}:v1"
    # Else one that crashes would soon be a 503, see test_quarantine.py.
    server = start(f"{pointer}={pipelines('startup')}:{name}", example("numbers.so"), options=["--quarantine-after", "0"])
    assert "1 of the pipelines failed" in server.ready_line
    for path in ("/v4/runs", "/v4/runs/stream"):
        answer = server.ask("POST", path, wire.run_body(pointer, []))
        assert answer.status == 500
        result = result_of(answer)
        assert result["state"] == "failed"
        assert result["error"]["type"] == "startup_error"
        assert words in result["error"]["message"]
    ready = server.get("/readyz")
    assert ready.status == 503 and pointer.encode() in ready.body and words.encode() in ready.body
    assert server.get("/v4/container/state").json()["state"] == "startup_failed"
    state = server.pipeline(pointer)
    assert state["state"] == "failed" and words in state["error"]["message"]
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3


# ---- limits of a run ------------------------------------------------------------------------------------


def test_a_run_that_waits_too_long_in_the_queue_is_a_504_and_never_starts(start):
    server = start(example("numbers.so"), options=["--queue-timeout", "200ms"])
    with server.stream(NUMBERS, 1000, "running", 20) as running:
        running.next()
        for path in ("/v4/runs", "/v4/runs/stream"):
            began = time.monotonic()
            answer = server.ask("POST", path, wire.run_body(NUMBERS, [1, "waiting", 0]))
            assert 0.19 < time.monotonic() - began < 0.2 + 2 * SLOWNESS
            assert answer.status == 504
            result = result_of(answer)
            assert result["state"] == "failed"
            assert result["error"]["type"] == "timeout"
        running.next()


@pytest.mark.parametrize("option,silent", [("--first-chunk-timeout", True), ("--run-timeout", True),
                                           ("--run-timeout", False)])
def test_a_run_that_takes_too_long_is_cancelled_with_a_timeout(start, pipelines, option, silent):
    server = start(f"{QUIET}={pipelines('shapes')}:quiet", options=[option, "200ms"])
    mark = server.log_mark()
    began = time.monotonic()
    with server.stream(QUIET, silent) as stream:
        status = stream.begin().status
        lines = list(stream)
    assert 0.19 < time.monotonic() - began < 0.2 + 2 * SLOWNESS
    assert status == (504 if silent else 200)
    assert lines[-1]["state"] == "failed" and lines[-1]["error"]["type"] == "timeout"
    assert len(lines) == (1 if silent else 2)
    server.wait_log("quiet was closed, cancelled=1", mark)


def test_a_request_can_shorten_its_time_but_not_lengthen_it(start, pipelines):
    server = start(f"{QUIET}={pipelines('shapes')}:quiet", options=["--run-timeout", "400ms"])
    for asked, expected in (("0.1", 0.1), ("1000", 0.4)):
        began = time.monotonic()
        with server.stream(QUIET, False, headers={"X-Request-Timeout": asked}) as stream:
            assert [line["error"] and line["error"]["type"] for line in stream.all()] == [None, "timeout"]
        assert expected - 0.01 < time.monotonic() - began < expected + 2 * SLOWNESS
    for wrong in ("0", "-1", "x", "1s", "", "1e3", "86401", "0.0001", "1.2.3", "nan"):
        assert server.run(QUIET, False, headers={"X-Request-Timeout": wrong}).status == 400


def test_a_run_that_shows_no_sign_of_life_is_cancelled_and_its_worker_killed(start):
    server = start(example("misbehave.so"), options=["--progress-timeout", "200ms", "--cancel-grace", "100ms"])
    mark = server.log_mark()
    with server.stream(MISBEHAVE, "spin", 2, 1) as stream:
        lines = stream.all()
    assert [wire.output_of(line) for line in lines[:2]] == [0, 1]
    assert lines[-1]["error"]["type"] == "timeout"
    server.wait_log(" worker_kill .*grace time", mark)


def test_a_run_that_waits_on_purpose_shows_signs_of_life(start):
    server = start(example("numbers.so"), options=["--progress-timeout", "100ms"])
    lines = server.lines(NUMBERS, 2, "x", 300)
    assert [line["error"] for line in lines] == [None, None]


# ---- tokens ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(start_shared, tmp_path_factory):
    """A server with two tokens, and the tokens."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens = []
    for name in ("alice", "bob"):
        made = subprocess.run([MILLRACE, "token", "new", name, "--file", str(file)], capture_output=True,
                              text=True, check=True)
        tokens.append(re.search(r"[A-Za-z0-9_-]{20,}", made.stdout)[0])
    server = start_shared(example("numbers.so"), options=["--token-file", str(file), "--log-level", "debug"])
    return server, tokens


def test_a_good_token_is_let_in_and_every_other_is_a_401(guarded):
    server, tokens = guarded
    for token in tokens:
        for scheme in ("Bearer", "bearer", "BEARER"):
            answer = server.get("/v4/tokens/validate", {"Authorization": f"{scheme} {token}"})
            assert answer.status == 200
            assert answer.json() == {"valid": True}
    token = tokens[0]
    wrong = ["", "Bearer", "Bearer ", f"Basic {token}", token, f"Bearer {token}x", f"Bearer {token[:-1]}",
             f"Bearer {token} {token}", f"Bearer {token.swapcase()}", f'Bearer "{token}"', f"Bearer {token},",
             "Bearer alice", f"Bearer alice:{token}"]
    for value in [None, *wrong]:
        headers = {} if value is None else {"Authorization": value}
        answer = server.get("/v4/tokens/validate", headers)
        assert answer.status == 401, value
        assert answer.header("WWW-Authenticate") == "Bearer"
        assert answer.json() == {"detail": {"message": "Not authenticated."}}


def test_tokens_guard_runs_and_pipelines_and_leave_health_open(guarded):
    server, tokens = guarded
    unauthorized = server.metric('millrace_refusals_total{cause="unauthorized"}')
    good = {"Authorization": f"Bearer {tokens[1]}"}
    body = wire.run_body(NUMBERS, [2, "x", 0])
    guarded_routes = [("POST", "/v4/runs/stream", body), ("POST", "/v4/runs", body), ("GET", "/v4/runs", None),
                      ("GET", "/v4/runs/run_x", None), ("DELETE", "/v4/runs/run_x", None),
                      ("GET", "/v4/pipelines", None), ("GET", "/v4/pipelines/" + NUMBERS, None)]
    for method, path, sent in guarded_routes:
        assert server.ask(method, path, sent).status == 401
        assert server.ask(method, path, sent, good).status in (200, 404)
    for path in ("/status", "/livez", "/readyz", "/v4/container/state", "/metrics", "/"):
        assert server.get(path).status == 200
    guarded_paths = {route["path"] for route in server.get("/").json()["routes"] if route["token"]}
    assert guarded_paths == {"/v4/runs/stream", "/v4/runs", "/v4/runs/{id}", "/v4/pipelines", "/v4/pipelines/{id}",
                             "/v4/tokens/validate"}
    assert server.metric('millrace_refusals_total{cause="unauthorized"}') == unauthorized + len(guarded_routes)


def test_two_authorization_fields_are_none(guarded):
    server, tokens = guarded
    with server.connect() as connection:
        connection.send(f"GET /v4/runs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {tokens[0]}\r\n"
                        f"Authorization: Bearer {tokens[0]}\r\n\r\n".encode())
        assert connection.response().status == 401


def test_tokens_are_neither_logged_nor_known_to_workers(guarded):
    server, tokens = guarded
    good = {"Authorization": f"Bearer {tokens[0]}"}
    server.get("/v4/tokens/validate", {"Authorization": f"Bearer {tokens[0]}x"})
    server.run(NUMBERS, 1, "x", 0, headers=good)
    [worker] = server.ask("GET", "/v4/pipelines/" + NUMBERS, headers=good).json()["workers"]
    secrets = [token.encode() for token in tokens]
    for name in ("environ", "cmdline"):
        with open(f"/proc/{worker['pid']}/{name}", "rb") as file:
            text = file.read()
        assert not any(secret in text for secret in secrets)
    assert not any(token in line for token in tokens for line in server.log)
