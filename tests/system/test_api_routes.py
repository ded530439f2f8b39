# SPDX-License-Identifier: MIT
"""The routes of docs/api.md and who may take them: methods, health, listings, tokens."""

import re
import time
import urllib.parse

import pytest

import wire
from server import example, make_tokens

NUMBERS = "local/numbers:v1"

GET_ROUTES = ["/v4/runs", "/v4/pipelines", "/v4/pipelines/" + NUMBERS, "/v4/tokens/validate", "/status", "/livez",
              "/readyz", "/v4/container/state", "/metrics", "/"]


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    shapes, several = pipelines("shapes"), example("several.so")
    return start_shared(example("numbers.so"), example("echo.so"), example("misbehave.so"),
                        *(f"test/{name}:v1={shapes}:{name}" for name in ("plain", "nothing", "quiet")),
                        *(f"test/{name}:v1={several}:{name}" for name in ("lockstep", "paced", "several")))


# ---- routes ------------------------------------------------------------------------------------------


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


# ---- health ------------------------------------------------------------------------------------------


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
    assert answer.json()["detail"]["message"] == "Pipeline not found"


# ---- tokens ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(start_shared, tmp_path_factory):
    """A server with two tokens, and the tokens."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens = make_tokens(file, "alice", "bob")
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
        connection.send(f"GET /v4/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tokens[0]}\r\n"
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
