# SPDX-License-Identifier: MIT
"""Without tokens a server is there for this machine's programs and pages, and for no web page from elsewhere."""

import socket
import subprocess

import pytest

import wire
from proxy import nginx
from server import MILLRACE, bearer, example, make_tokens

NUMBERS = "local/numbers:v1"
BODY = wire.run_body(NUMBERS, [1, "x", 0])
OPEN = ["/", "/status", "/livez", "/readyz", "/v4/container/state", "/metrics"]
GUARDED = ["/v4/runs", "/v4/runs/run_x", "/v4/pipelines", "/v4/pipelines/" + NUMBERS, "/v4/tokens/validate"]

# What browsers send for a page of evil.example: a form that is posted here, or one after its name leads here.
FORM = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors",
        "Content-Type": "text/plain"}
REBOUND = {"Host": "evil.example:8080", "Origin": "http://evil.example:8080", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"))


def ask(server, method, path, fields, body=None):
    """A request with these fields; without Host among them it is the server's address."""
    fields = {"Host": server.address, **fields, **({} if body is None else {"Content-Length": len(body)})}
    with server.connect() as connection:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        connection.send(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))
        answer = connection.response(method)
        if answer.status == 403:
            assert answer.header("Connection") == "close" and connection.is_closed()
        return answer


def run(server, fields):
    return ask(server, "POST", "/v4/runs", fields, BODY)


def assert_refused(server, answer, option):
    assert answer.status == 403
    assert option in answer.json()["detail"] and "--token-file" in answer.json()["detail"]


@pytest.mark.parametrize("fields,option", [
    (FORM, "--allow-origin"), (REBOUND, "--allow-host"),
    ({"Sec-Fetch-Site": "cross-site"}, "--allow-origin"), ({"Sec-Fetch-Site": "same-site"}, "--allow-origin"),
    ({"Origin": "http://evil.example"}, "--allow-origin"), ({"Origin": "null"}, "--allow-origin"),
    ({"Origin": "http://127.0.0.1:1"}, "--allow-origin"), ({"Host": "evil.example"}, "--allow-host"),
])
def test_a_page_from_elsewhere_neither_runs_nor_reads_anything(server, fields, option):
    accepted = server.metric(f'millrace_runs_accepted_total{{pipeline="{NUMBERS}"}}')
    refused = server.metric('millrace_refusals_total{cause="forbidden"}')
    for path in ("/v4/runs", "/v4/runs/stream"):
        assert_refused(server, ask(server, "POST", path, fields, BODY), option)
    for path in GUARDED:
        assert_refused(server, ask(server, "GET", path, fields), option)
    assert_refused(server, ask(server, "DELETE", "/v4/runs/run_x", fields), option)
    assert server.metric(f'millrace_runs_accepted_total{{pipeline="{NUMBERS}"}}') == accepted
    assert server.metric('millrace_refusals_total{cause="forbidden"}') == refused + 3 + len(GUARDED)


@pytest.mark.parametrize("fields", [
    {}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Host": "localhost:8080"}, {"Host": "LocalHost"},
    {"Host": "localhost."}, {"Host": "[::1]:8080"}, {"Host": "10.1.2.3"}, {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"}, {"Host": "127.0.0.1:8", "Origin": "http://127.0.0.1:8"},
    {"Host": "localhost:8", "Origin": "https://localhost:8"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://a"},
])
def test_this_machines_programs_and_pages_are_served(server, fields):
    assert run(server, fields).status == 200


def test_http_1_0_needs_no_host(server):
    with server.connect() as connection:
        connection.send(f"POST /v4/runs HTTP/1.0\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        assert connection.response().status == 200


def test_what_asks_for_no_token_is_for_probes_by_any_name(server):
    for path in OPEN:
        for fields in (FORM, REBOUND):
            assert ask(server, "GET", path, fields).status == 200


def test_what_user_code_said_of_its_failure_is_not_told_to_pages(start, pipelines):
    server = start(f"test/broken:v1={pipelines('startup')}:broken", example("numbers.so"), options=["--quarantine-after", "0"])
    for path in ("/readyz", "/status", "/v4/container/state"):
        assert b"no model" in ask(server, "GET", path, {}).body
        for fields in (FORM, REBOUND):
            assert b"no model" not in ask(server, "GET", path, fields).body


def test_metrics_can_be_kept_from_pages(start):
    server = start(example("numbers.so"), options=["--metrics", "token"])
    assert ask(server, "GET", "/metrics", {}).status == 200
    assert_refused(server, ask(server, "GET", "/metrics", REBOUND), "--allow-host")


def test_names_and_origins_can_be_allowed(start):
    server = start(example("numbers.so"), options=["--allow-host", "Box.Example", "--allow-host", "other",
                                                   "--allow-origin", "https://app.example:8443", "--allow-origin", "null"])
    page = {"Sec-Fetch-Site": "cross-site"}
    for fields in ({"Host": "box.example:80"}, {"Host": "BOX.example."}, {"Host": "other"},
                   {**page, "Origin": "https://app.example:8443"}, {**page, "Origin": "null"}, {"Origin": "null"},
                   {"Host": "box.example", "Origin": "http://box.example"}):
        assert run(server, fields).status == 200, fields
    for fields in ({"Host": "box.example.evil.example"}, {"Host": "x.box.example"}, page, {"Origin": "https://app.example"},
                   {"Origin": "http://app.example:8443"}, {"Host": "evil.example", "Origin": "null"}):
        assert run(server, fields).status == 403, fields


def test_no_auth_lets_everyone_in_unless_names_are_said(start):
    server = start(example("numbers.so"), options=["--no-auth"])
    assert run(server, FORM).status == run(server, REBOUND).status == 200
    server = start(example("numbers.so"), options=["--no-auth", "--allow-host", "box.example"])
    assert run(server, {"Host": "box.example"}).status == run(server, {}).status == 200
    assert run(server, FORM).status == run(server, REBOUND).status == 403


def test_with_tokens_it_is_the_token_that_counts(start, tmp_path):
    [token] = make_tokens(tmp_path / "tokens", "alice")
    server = start(example("numbers.so"), options=["--token-file", str(tmp_path / "tokens")])
    for fields in (FORM, REBOUND):
        assert run(server, {**fields, **bearer(token)}).status == 200
        assert run(server, fields).status == 401


# ---- what stands in front ---------------------------------------------------------------------------------------------


def post_as_page(url, host):
    """What a browser sends with a form of a page that came through the proxy itself."""
    fields = {"Host": host, "Origin": f"http://{host}", "Content-Length": len(BODY)}
    with wire.Connection(int(url.rsplit(":", 1)[1])) as connection:
        lines = ["POST /v4/runs HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        connection.send(("\r\n".join(lines) + "\r\n\r\n").encode() + BODY)
        return connection.response().status


def test_a_proxy_that_names_an_upstream_or_its_own_host_is_allowed_by_that_name(start, tmp_path):
    """A stock proxy_pass to an address needs nothing (test_streams.py)."""
    plain = start(example("numbers.so"))
    named = start(example("numbers.so"), options=["--allow-host", "backend", "--allow-host", "box.example"])
    for server, status in ((plain, 403), (named, 200)):
        folder = tmp_path / f"upstream{status}"
        folder.mkdir()
        with nginx(folder, "proxy_pass http://backend;", f"upstream backend {{ server {server.address}; }}") as url:
            with wire.Connection(int(url.rsplit(":", 1)[1])) as connection:
                connection.request("POST", "/v4/runs", BODY)
                assert connection.response().status == status
        folder = tmp_path / f"host{status}"
        folder.mkdir()
        with nginx(folder, f"proxy_pass {server.url}; proxy_set_header Host $http_host;") as url:
            assert post_as_page(url, "box.example") == status


# ---- our own clients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_run_and_bench_are_no_pages(server, host):
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror:
        pytest.skip(f"this machine has no {host}: there is no /etc/hosts")
    url = f"http://{host}:{server.port}"
    run_ = subprocess.run([MILLRACE, "run", NUMBERS, "2", "x", "0", "--url", url], capture_output=True, check=False)
    assert run_.returncode == 0 and len(run_.stdout.splitlines()) == 2
    bench = subprocess.run([MILLRACE, "bench", NUMBERS, "2", "x", "0", "--url", url, "--requests", "3", "--quiet"],
                           capture_output=True, check=False)
    assert bench.returncode == 0, bench.stdout + bench.stderr
