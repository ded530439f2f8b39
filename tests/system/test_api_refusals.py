# SPDX-License-Identifier: MIT
"""What is refused by docs/api.md: requests that are wrong, too many, or for a pipeline that does not serve."""

import time

import pytest

import wire
from server import SLOWNESS, example

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"
NOTHING = "test/nothing:v1"


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(example("numbers.so"), f"{NOTHING}={pipelines('shapes')}:nothing")


# ---- requests ----------------------------------------------------------------------------------------


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
        detail = answer.json()["detail"]
        assert (answer.body.startswith(b'{"detail":{"message":"Pipeline not found",'), len(detail)) == (True, 3)
        assert detail["total"] == len(server.get("/v4/pipelines").json()["data"])


def test_wrong_inputs_are_one_result_line_on_both_routes(server):
    for path, kind in (("/v4/runs", "application/json"), ("/v4/runs/stream", "application/x-ndjson")):
        answer = server.ask("POST", path, wire.run_body(NUMBERS, ["x", 1, 2]))
        assert answer.status == 400
        assert answer.header("Content-Type") == kind
        result = wire.result_of(answer)
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
                result = wire.result_of(answer)
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
            assert wire.result_of(answer)["state"] == "failed"
    # After the first line it is too late.
    with server.stream(MISBEHAVE, "fail_errno", 1, 0) as stream:
        assert stream.all()[-1]["state"] == "failed"


# ---- starting ----------------------------------------------------------------------------------------


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
        result = wire.result_of(answer)
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
        result = wire.result_of(answer)
        assert result["state"] == "failed"
        assert result["error"]["type"] == "startup_error"
        assert words in result["error"]["message"]
    ready = server.get("/readyz")
    assert ready.status == 503 and pointer.encode() in ready.body and words.encode() in ready.body
    assert server.get("/v4/container/state").json()["state"] == "startup_failed"
    state = server.pipeline(pointer)
    assert state["state"] == "failed" and words in state["error"]["message"]
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3
