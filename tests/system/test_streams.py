# SPDX-License-Identifier: MIT
"""The main job: lines arrive as they are produced, in every real client, also through a proxy."""

import asyncio
import http.client
import json
import os
import subprocess
import time

import httpx
import pytest

import wire
from proxy import nginx
from server import SLOWNESS, TOP, example

CLIENTS = os.path.join(TOP, "tests/system/clients")
WORDS = "my_user/my_pipeline:v1"
NUMBERS = "local/numbers:v1"
TEXT = "a mill race carries fast water"
BODY = wire.run_body(WORDS, [TEXT])
HEADERS = {"Authorization": "Bearer token", "Content-Type": "application/json"}
EXPECTED = [word + " " for word in TEXT.split()]
# words.c paces its words so; a machine that is busy may bunch a few, never all.
PACE_S = 0.1


@pytest.fixture(scope="module")
def server(start_shared):
    # Room for every test at once: no stream waits for another.
    return start_shared(f"{WORDS}={example('words.so')}:my_pipeline", example("numbers.so"),
                        options=["--concurrency", "32"])


@pytest.fixture(scope="module")
def proxy_url(server, tmp_path_factory):
    with nginx(tmp_path_factory.mktemp("nginx"), f"proxy_pass {server.url};") as url:
        yield url


def assert_words(lines):
    assert [wire.output_of(wire.check_line(line)) for line in lines] == EXPECTED


def assert_incremental(times):
    """One by one: between first and last lies the time of all paces, and no great part of it between
    two neighbours."""
    spread = times[-1] - times[0]
    assert spread > PACE_S * (len(times) - 1) * 0.5, times
    assert spread < PACE_S * (len(times) - 1) + 3 * SLOWNESS, times
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert sum(gap > PACE_S * 0.25 for gap in gaps) >= len(gaps) - 2, gaps


def read_curl(url, *options):
    """The seed's curl line; lines and their times."""
    command = ["curl", "-sS", "-N", "-X", "POST", url + "/v4/runs/stream", "-H", "Authorization: Bearer token",
               "-H", "Content-Type: application/json", "-d", BODY.decode(), "--max-time", "30", *options]
    lines, times = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        for line in process.stdout:
            times.append(time.monotonic())
            lines.append(line)
    assert process.returncode == 0
    return lines, times


def test_the_curl_line_of_the_seed_prints_a_line_as_each_word_is_produced(server):
    lines, times = read_curl(server.url)
    assert_words(lines)
    assert_incremental(times)


def test_a_stock_proxy_pass_of_nginx_hands_on_each_line_at_once(proxy_url):
    lines, times = read_curl(proxy_url)
    assert_words(lines)
    assert_incremental(times)


def test_nginx_hands_on_the_terminal_chunk_only_of_a_complete_stream(proxy_url):
    port = int(proxy_url.rsplit(":", 1)[1])
    with wire.Stream(wire.Connection(port), wire.run_body(WORDS, ["one two"])) as stream:
        assert [wire.output_of(line) for line in stream.all()] == ["one ", "two "]


def test_the_first_line_arrives_long_before_the_last_is_made(server):
    began = time.monotonic()
    with server.stream(WORDS, TEXT) as stream:
        assert wire.output_of(stream.next()) == EXPECTED[0]
        assert time.monotonic() - began < PACE_S * 5 * SLOWNESS
        assert_words_left = [wire.output_of(line) for line in stream]
    assert assert_words_left == EXPECTED[1:]
    assert_incremental(stream.times)


def test_the_head_of_a_stream_says_what_the_api_promises(server):
    with server.stream(WORDS, "x") as stream:
        head = stream.begin()
        assert head.status == 200
        assert head.header("Content-Type") == "application/x-ndjson"
        assert head.header("Transfer-Encoding") == "chunked"
        assert head.header("X-Accel-Buffering") == "no"
        assert head.header("Cache-Control") == "no-store"
        assert len(stream.all()) == 1
        assert stream.trailers == {"Millrace-Run-State": "completed", "Millrace-Run-Lines": "1"}


def test_lines_of_one_run_share_what_names_it_and_their_time_advances(server):
    lines = server.lines(WORDS, TEXT)
    assert len({(line["id"], line["pipeline_id"], line["created_at"]) for line in lines}) == 1
    updated = [line["updated_at"] for line in lines]
    assert updated == sorted(updated)
    assert updated[-1] - updated[0] > PACE_S * (len(lines) - 1) * 0.8
    assert {line["state"] for line in lines} == {"running"}
    assert abs(lines[0]["created_at"] - time.time()) < 30


def test_http_client_reads_line_by_line_and_reuses_its_connection(server):
    accepted = server.metric("millrace_connections_accepted_total")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sockets = set()
    for _ in range(2):
        connection.request("POST", "/v4/runs/stream", BODY, HEADERS)
        with connection.getresponse() as response:
            assert response.status == 200
            lines, times = [], []
            while line := response.readline():
                times.append(time.monotonic())
                lines.append(line)
        assert_words(lines)
        assert_incremental(times)
        sockets.add(connection.sock)
    assert len(sockets) == 1 and None not in sockets
    connection.close()
    # One more for asking the second time.
    assert server.metric("millrace_connections_accepted_total") == accepted + 2


def test_httpx_reads_line_by_line_and_reuses_its_connection(server):
    accepted = server.metric("millrace_connections_accepted_total")
    with httpx.Client(timeout=30) as client:
        for _ in range(2):
            with client.stream("POST", server.url + "/v4/runs/stream", content=BODY,
                               headers=HEADERS) as response:
                assert response.status_code == 200
                lines, times = [], []
                for line in response.iter_lines():
                    times.append(time.monotonic())
                    lines.append(line)
            assert_words(lines)
            assert_incremental(times)
    assert server.metric("millrace_connections_accepted_total") == accepted + 2


def test_eight_async_httpx_streams_at_once_are_each_read_line_by_line(server):
    async def read(client):
        lines, times = [], []
        async with client.stream("POST", server.url + "/v4/runs/stream", content=BODY,
                                 headers=HEADERS) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                times.append(time.monotonic())
                lines.append(line)
        return lines, times

    async def read_all():
        async with httpx.AsyncClient(timeout=30) as client:
            return await asyncio.gather(*(read(client) for _ in range(8)))

    began = time.monotonic()
    for lines, times in asyncio.run(read_all()):
        assert_words(lines)
        assert_incremental(times)
    # At the same time, not one after the other.
    assert time.monotonic() - began < 8 * PACE_S * len(EXPECTED)


def run_fetch(server, body, count):
    result = subprocess.run(["node", os.path.join(CLIENTS, "fetch.mjs"), server.url + "/v4/runs/stream",
                             body.decode(), str(count)], capture_output=True, timeout=40, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_fetch_of_node_reads_line_by_line(server):
    heard = run_fetch(server, BODY, 1)
    assert_words([entry["line"] for entry in heard])
    assert_incremental([entry["ms"] / 1000 for entry in heard])


def test_fetch_of_node_reuses_its_connections(server):
    accepted = server.metric("millrace_connections_accepted_total")
    heard = run_fetch(server, wire.run_body(NUMBERS, [2, "x", 0]), 20)
    assert [entry["stream"] for entry in heard] == [number for number in range(20) for _ in range(2)]
    # The second request may begin before the first connection is known to be free again.
    assert server.metric("millrace_connections_accepted_total") <= accepted + 2 + 1


def test_curl_runs_three_streams_on_one_connection(server):
    body = wire.run_body(WORDS, ["one"]).decode()
    command = ["curl", "-sS", "-N", "--max-time", "30", "-w", "%{num_connects}\n"]
    for number in range(3):
        command += ["--next", "-sS", "-w", "%{num_connects}\n"] if number else []
        command += [server.url + "/v4/runs/stream", "-H", "Content-Type: application/json", "-d", body]
    result = subprocess.run(command, capture_output=True, timeout=40, check=True)
    lines = result.stdout.decode().splitlines()
    assert lines[1::2] == ["1", "0", "0"]
    assert [wire.output_of(wire.check_line(line)) for line in lines[::2]] == ["one "] * 3


def test_one_connection_serves_many_runs(server):
    accepted = server.metric("millrace_connections_accepted_total")
    with server.connect() as connection:
        ids = set()
        for number in range(200):
            stream = wire.Stream(connection, wire.run_body(NUMBERS, [3, str(number), 0]))
            lines = stream.all()
            assert [wire.output_of(line)["chunk"] for line in lines] == [str(number)] * 3
            assert stream.trailers == {"Millrace-Run-State": "completed", "Millrace-Run-Lines": "3"}
            ids.add(lines[0]["id"])
        assert len(ids) == 200
    assert server.metric("millrace_connections_accepted_total") == accepted + 2
