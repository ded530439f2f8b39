# SPDX-License-Identifier: MIT
"""Web pages of other origins call the server where --cors-origin says so, as browsers ask for it (Fetch, 3.2)."""

import subprocess

import pytest

import wire
from server import MILLRACE, bearer, example, make_tokens

NUMBERS = "local/numbers:v1"
BODY = wire.run_body(NUMBERS, [2, "x", 0])
PAGE = "https://app.example"
OTHER = "https://evil.example"
EXPOSED = "X-Request-Id, X-Correlation-Id, Retry-After, X-Millrace-Pipeline, *"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    return path, make_tokens(path, "alice")[0]


@pytest.fixture(scope="module")
def server(start_shared, tokens):
    return start_shared(example("numbers.so"), options=["--token-file", str(tokens[0]), "--body-limit", "2k",
                                                        "--cors-origin", PAGE, "--cors-origin", "http://127.0.0.1:3000"])


@pytest.fixture(scope="module")
def open_server(start_shared, tokens):
    return start_shared(example("numbers.so"), options=["--token-file", str(tokens[0]), "--cors-origin", "*"])


def preflight(server, path="/v4/runs/stream", origin=PAGE, method="POST", **fields):
    fields = {"Origin": origin, "Access-Control-Request-Method": method,
              "Access-Control-Request-Headers": "authorization,content-type", "Sec-Fetch-Mode": "cors", **fields}
    return server.ask("OPTIONS", path, headers={name: value for name, value in fields.items() if value})


def names_of(response, field):
    return [name.strip().lower() for name in response.header(field).split(",")]


def assert_readable(response, origin=PAGE):
    """What a page of this origin needs to see more of the answer than that there was one."""
    assert response.header("Access-Control-Allow-Origin") == origin, response
    assert response.header("Vary") == (None if origin == "*" else "Origin")
    assert response.header("Access-Control-Expose-Headers") == EXPOSED
    assert response.header("Access-Control-Allow-Credentials") is None


def assert_closed_to_pages(response):
    assert not [name for name, _ in response.headers if name.lower().startswith("access-control-")], response


# ---- the question before ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path,method", [
    ("/v4/runs/stream", "POST"), ("/v4/runs", "POST"), ("/v4/runs/run_x", "DELETE"), ("/v4/pipelines", "GET"),
    ("/metrics", "GET"), ("/livez", "GET"), ("/", "GET"), ("/v4/nothing", "PUT")])
def test_a_page_may_ask_for_any_route_without_a_token(server, path, method):
    response = preflight(server, path, method=method)
    assert (response.status, response.body) == (200, b"")
    assert_readable(response)
    assert names_of(response, "Access-Control-Allow-Methods") == ["get", "head", "post", "put", "delete"]
    assert {"authorization", "content-type", "x-request-id", "x-request-timeout", "*"} <= \
        set(names_of(response, "Access-Control-Allow-Headers"))
    assert 0 < int(response.header("Access-Control-Max-Age")) <= 7200
    assert response.header("Connection") is None


def test_a_question_and_the_request_come_on_one_connection(server, tokens):
    with server.connect() as connection:
        connection.request("OPTIONS", "/v4/runs", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"})
        assert connection.response("OPTIONS").status == 200
        connection.request("POST", "/v4/runs", BODY, {"Origin": PAGE, **bearer(tokens[1])})
        assert connection.response().status == 200


@pytest.mark.parametrize("origin", [OTHER, "null", PAGE.upper(), PAGE + ":8443", "http://app.example", PAGE + "/", "*"])
def test_other_pages_are_told_why_not(server, origin):
    before = server.metric('millrace_refusals_total{cause="forbidden"}')
    response = preflight(server, origin=origin)
    assert response.status == 403 and "--cors-origin" in response.json()["detail"]
    assert_closed_to_pages(response)
    assert response.header("Vary") == "Origin"
    assert server.metric('millrace_refusals_total{cause="forbidden"}') == before + 1


@pytest.mark.parametrize("fields", [{}, {"Origin": PAGE}, {"Access-Control-Request-Method": "POST"}])
def test_what_is_no_question_of_a_browser_is_answered_as_ever(server, fields):
    response = server.ask("OPTIONS", "/v4/runs/stream", headers=fields)
    assert (response.status, response.header("Allow")) == (405, "POST")


# ---- the request itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept,kind", [("*/*", "application/x-ndjson"), ("text/event-stream", "text/event-stream")])
def test_streams_say_who_may_read_them(server, tokens, accept, kind):
    with server.stream(NUMBERS, 2, "x", 0, headers={"Origin": PAGE, "Accept": accept, **bearer(tokens[1])}) as stream:
        assert stream.begin().status == 200
        assert stream.response.header("Content-Type") == kind
        assert_readable(stream.response)
        assert len([line for line in stream.raw_lines() if b'"outputs":[' in line]) == 2


def test_answers_and_refusals_say_who_may_read_them(server, tokens):
    token = bearer(tokens[1])
    for status, response in {
            200: server.run(NUMBERS, 2, "x", 0, headers={"Origin": PAGE, **token}),
            401: server.get("/v4/pipelines", {"Origin": PAGE}),
            404: server.get("/v4/pipelines/me/none:v1", {"Origin": PAGE, **token}),
            405: server.ask("PUT", "/v4/runs", headers={"Origin": PAGE, **token}),
            400: server.get("/v4/pipelines", {"Origin": PAGE, "X-Request-Timeout": "soon", **token}),
            422: server.ask("POST", "/v4/runs", b"{", {"Origin": PAGE, **token}),
            413: server.ask("POST", "/v4/runs", b" " * 3000, {"Origin": PAGE, **token}),
            415: server.ask("POST", "/v4/runs", b"{}", {"Origin": PAGE, "Content-Encoding": "gzip", **token})}.items():
        assert response.status == status, response
        assert_readable(response)
    assert_readable(server.get("/v4/nothing", {"Origin": PAGE}))
    assert_readable(server.ask("HEAD", "/status", headers={"Origin": "http://127.0.0.1:3000"}), "http://127.0.0.1:3000")


def test_a_full_queue_and_when_to_come_again_are_readable(start, tokens):
    server = start(example("numbers.so"), options=["--token-file", str(tokens[0]), "--cors-origin", PAGE, "--queue", "0"])
    token = {"Origin": PAGE, **bearer(tokens[1])}
    with server.stream(NUMBERS, 1000, "x", 10, headers=token) as stream:
        stream.next()
        response = server.run(NUMBERS, 1, "x", 0, headers=token)
        assert response.status == 429 and response.header("Retry-After")
        assert_readable(response)


def test_other_pages_and_programs_get_their_answers_and_no_word_of_it(server, tokens):
    for fields in ({"Origin": OTHER}, {}):
        response = server.run(NUMBERS, 2, "x", 0, headers={**fields, **bearer(tokens[1])})
        assert response.status == 200
        assert_closed_to_pages(response)
        assert response.header("Vary") == "Origin"


def test_one_page_after_another_on_one_connection(server):
    """A proxy has the requests of many on one."""
    with server.connect() as connection:
        for origin in (PAGE, OTHER, "http://127.0.0.1:3000", None, PAGE):
            connection.request("GET", "/livez", headers={"Origin": origin} if origin else {})
            response = connection.response()
            assert response.header("Access-Control-Allow-Origin") == (None if origin in (OTHER, None) else origin)


def test_all_pages_may_be_meant(open_server, tokens):
    assert_readable(preflight(open_server, origin=OTHER), "*")
    assert_readable(preflight(open_server, origin="null"), "*")
    for fields in ({"Origin": OTHER}, {}):
        assert_readable(open_server.run(NUMBERS, 1, "x", 0, headers={**fields, **bearer(tokens[1])}), "*")
        assert_readable(open_server.get("/v4/pipelines", fields), "*")
    with open_server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        response = connection.response()
        assert response.status == 400
        assert_readable(response, "*")


def test_the_longest_names_fit_into_a_head(start, tokens):
    origin = "https://" + "a" * 498
    server = start(example("numbers.so"), options=["--token-file", str(tokens[0]), "--cors-origin", origin])
    response = preflight(server, origin=origin, **{"X-Request-Id": "i" * 128})
    assert response.status == 200
    assert_readable(response, origin)


def test_without_the_option_there_is_not_one_byte_of_it(start):
    server = start(example("numbers.so"))
    response = preflight(server)
    assert (response.status, response.header("Allow")) == (405, "POST")
    assert response.body == b'{"detail":"Method Not Allowed"}\n'
    for response in (response, server.get("/livez", {"Origin": PAGE})):
        assert_closed_to_pages(response)
        assert response.header("Vary") is None
        assert [name for name, _ in response.headers] == \
            ["Date", "Server", "Content-Type", "X-Request-Id", "X-Correlation-Id", "Content-Length",
             *(["Allow"] if response.status == 405 else [])]


# ---- without tokens ---------------------------------------------------------------------------------------------------


def test_without_tokens_a_page_that_may_read_may_call(start):
    server = start(example("numbers.so"), options=["--cors-origin", PAGE])
    site = {"Sec-Fetch-Site": "cross-site"}
    response = server.run(NUMBERS, 2, "x", 0, headers={"Origin": PAGE, **site})
    assert response.status == 200
    assert_readable(response)
    for fields in ({"Origin": OTHER, **site}, {"Origin": OTHER}, site):
        response = server.run(NUMBERS, 2, "x", 0, headers=fields)
        assert response.status == 403
        assert_closed_to_pages(response)
    # Another page whose name leads here does not become that one.
    with server.connect() as connection:
        connection.send(b"GET /v4/runs HTTP/1.1\r\nHost: evil.example\r\nOrigin: https://app.example\r\n\r\n")
        assert connection.response().status == 403


def test_without_tokens_not_every_page_may(start):
    for origin in ("*", "null"):
        result = subprocess.run([MILLRACE, "serve", example("numbers.so"), "--listen", "127.0.0.1:0", "--cors-origin", origin],
                                capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == 2
        assert f"--cors-origin {origin} without tokens: every web page" in result.stderr
    server = start(example("numbers.so"), options=["--no-auth", "--cors-origin", "*"])
    assert_readable(server.run(NUMBERS, 2, "x", 0, headers={"Origin": OTHER, "Sec-Fetch-Site": "cross-site"}), "*")


def test_no_auth_is_for_everyone_still_and_answers_for_some(start):
    server = start(example("numbers.so"), options=["--no-auth", "--cors-origin", PAGE])
    with server.connect() as connection:
        connection.send(b"GET /v4/runs HTTP/1.1\r\nHost: box.example\r\nOrigin: https://evil.example\r\n\r\n")
        response = connection.response()
        assert response.status == 200
        assert_closed_to_pages(response)
    assert_readable(server.get("/v4/runs", {"Origin": PAGE}))


def test_an_origin_is_what_browsers_write():
    for origin, why in (("https://app.example/", "without a path"), ("https://app.example:443", "write it without"),
                        ("app.example", "not an origin")):
        result = subprocess.run([MILLRACE, "serve", example("numbers.so"), "--cors-origin", origin], capture_output=True,
                                text=True, timeout=20, check=False)
        assert result.returncode == 2 and why in result.stderr, result.stderr
