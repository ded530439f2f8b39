# SPDX-License-Identifier: MIT
"""A pipeline whose workers die again and again is quarantined: it says so everywhere, refuses runs with the
reason, is retried slowly, and comes back with the first run that is finished."""

import re
import subprocess

import pytest

import wire
from server import MILLRACE, example, wait_until

MISBEHAVE = "local/misbehave:v1"
NUMBERS = "local/numbers:v1"


def state_of(server, pointer=MISBEHAVE):
    return server.pipeline(pointer)["state"]


def refusal(server, *values, pointer=MISBEHAVE):
    """The result line of a run that is refused with 503."""
    for path in ("/v4/runs", "/v4/runs/stream"):
        answer = server.ask("POST", path, wire.run_body(pointer, values))
        assert answer.status == 503, answer
        assert int(answer.header("Retry-After")) >= 1
        result = wire.check_line(answer.body)
        assert result["state"] == "no_resources_available"
    return result


def abort_until_refused(server, count):
    """Each run kills its worker; `count` deaths in a row are enough."""
    for _ in range(count):
        result = wire.check_line(server.run(MISBEHAVE, "abort", 0, 0).body)
        assert result["state"] == "failed" and "signal 6" in result["error"]["message"]
    server.wait_log(rf" pipeline_quarantined pipeline={re.escape(MISBEHAVE)} deaths={count} ")


def quarantined_after(start, count):
    server = start(example("misbehave.so"), example("numbers.so"), options=["--quarantine-after", str(count)])
    abort_until_refused(server, count)
    return server


@pytest.fixture
def quarantined(start):
    """A server with a healthy pipeline and one in quarantine, which will soon be on trial."""
    return quarantined_after(start, 2)


def test_it_says_so_everywhere_and_others_are_served(start):
    server = quarantined_after(start, 6)  # now for 1.6 s
    error = refusal(server, "nan", 1, 0)["error"]
    assert error["type"] == "pipeline_error"
    assert "quarantined: each of its workers died 6 times in a row" in error["message"]
    assert "signal 6 (SIGABRT)" in error["message"]
    ready, status, pipeline = server.get("/readyz"), server.get("/status").json(), server.pipeline(MISBEHAVE)
    assert ready.status == 503
    assert f"{MISBEHAVE} is not ready (quarantined): ".encode() in ready.body
    assert b"signal 6 (SIGABRT)" in ready.body
    assert status["status"] == "unready"
    assert {entry["pointer"]: entry["state"] for entry in status["pipelines"]} \
        == {MISBEHAVE: "quarantined", NUMBERS: "ready"}
    assert pipeline["state"] == "quarantined"
    assert "signal 6 (SIGABRT)" in pipeline["error"]["message"]
    assert server.get("/v4/container/state").json()["state"] == "startup_failed"
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3


def test_a_run_that_is_finished_ends_it(quarantined):
    wait_until(lambda: state_of(quarantined) == "trial", what="a worker on trial")
    with quarantined.stream(MISBEHAVE, "nan", 1, 0) as stream:
        assert len(stream.all()) == 2
    quarantined.wait_log(f" pipeline_recovered pipeline={MISBEHAVE}")
    assert state_of(quarantined) == "ready"
    assert quarantined.get("/readyz").status == 200


def test_a_trial_that_kills_the_worker_goes_on_with_a_longer_pause(quarantined):
    for _ in range(2):
        wait_until(lambda: state_of(quarantined) == "trial", what="a worker on trial")
        result = wire.check_line(quarantined.run(MISBEHAVE, "abort", 0, 0).body)
        assert "signal 6" in result["error"]["message"]
        wait_until(lambda: state_of(quarantined) == "quarantined", what="the end of the trial")
    assert len(quarantined.log_since(0, " pipeline_quarantined ")) == 1
    assert not quarantined.log_since(0, " pipeline_recovered ")


def test_a_worker_that_stays_ready_ends_it(start):
    server = start(example("misbehave.so"), options=["--quarantine-after", "1", "--quarantine-retry", "300ms"])
    abort_until_refused(server, 1)
    server.wait_log(" pipeline_recovered ")
    assert state_of(server) == "ready"
    # But it was never seen to finish a run, so one death is enough again.
    mark = server.log_mark()
    server.run(MISBEHAVE, "abort", 0, 0)
    server.wait_log(" pipeline_quarantined ", mark)


def test_a_worker_that_crashes_at_every_start_is_quarantined_with_a_startup_error(start, pipelines):
    pointer = "test/crashing:v1"
    server = start(f"{pointer}={pipelines('startup')}:crashing", example("numbers.so"),
                   options=["--quarantine-after", "2"])
    server.wait_log(" pipeline_quarantined ")
    error = refusal(server, pointer=pointer)["error"]
    assert error["type"] == "startup_error"
    assert "signal 6 (SIGABRT)" in error["message"]


def test_who_may_not_call_is_told_the_state_alone(start, pipelines, tmp_path):
    """What user code says of its failure may be anything."""
    tokens = tmp_path / "tokens"
    made = subprocess.run([MILLRACE, "token", "new", "alice", "--file", str(tokens)], capture_output=True, text=True,
                          check=True)
    token = re.search(r"[A-Za-z0-9_-]{20,}", made.stdout)[0]
    pointer = "test/broken:v1"
    server = start(f"{pointer}={pipelines('startup')}:broken", example("numbers.so"),
                   options=["--token-file", str(tokens)])
    words = b"no model in /nowhere"
    for path in ("/readyz", "/status", "/v4/container/state"):
        for headers, is_told in (({}, False), ({"Authorization": "Bearer nobody"}, False),
                                 ({"Authorization": f"Bearer {token}"}, True)):
            answer = server.get(path, headers)
            assert answer.status == (503 if path == "/readyz" else 200)
            assert f"{pointer} is not ready (failed)".encode() in answer.body
            assert (words in answer.body) == is_told, answer
