# SPDX-License-Identifier: MIT
"""Results that are posted to the URL that a client named, callback_url."""

import json
import os
import queue
import signal
import time

import pytest
from pipeline.cloud.schemas.runs import ContainerRunResult

from fetching import Target, whole
from server import SLOWNESS, child_called, example

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"


class Receiver(Target):
    """Takes what is posted; each answer is the next one of `answers`, or else 200."""

    def __init__(self, *answers):
        super().__init__(self.take)
        self.answers, self.posts = list(answers), queue.Queue()

    def take(self, connection, head):
        head, body = head.split(b"\r\n\r\n", 1)
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields[b"Content-Length"]):
            body += connection.recv(65536)
        self.posts.put((head, fields, body, time.monotonic()))
        answer = self.answers.pop(0) if self.answers else whole(b"")
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(answer)

    def next(self, seconds=20):
        """The JSON of the next post."""
        return json.loads(self.posts.get(timeout=seconds * SLOWNESS)[2])


@pytest.fixture
def receiver():
    receivers = []

    def make(*answers):
        receivers.append(Receiver(*answers))
        return receivers[-1]

    yield make
    for one in receivers:
        one.close()


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"), example("misbehave.so"), options=["--fetch-allow", "127.0.0.1", "--log-level", "debug"])


def ask(server, pipeline, *values, url, **members):
    return server.run(pipeline, *values, async_run=True, callback_url=url, **members)


def test_result_is_posted_once(server, receiver):
    to = receiver()
    answer = ask(server, NUMBERS, 3, "x", 100, url=to.url("/hook?id=1"))
    assert answer.status == 202
    run = json.loads(answer.body)
    assert run["state"] in ("queued", "running") and run["outputs"] is None and run["error"] is None
    head, fields, body, _ = to.posts.get(timeout=10 * SLOWNESS)
    assert head.startswith(b"POST /hook?id=1 HTTP/1.1\r\n") and fields[b"Content-Type"] == b"application/json"
    posted = json.loads(body)
    assert list(posted) == ["inputs", "outputs", "error"] and posted["inputs"] is None and posted["error"] is None
    assert [value["i"] for value in posted["outputs"][0]["value"]] == [0, 1, 2]
    result = ContainerRunResult.parse_obj(posted)
    assert result.outputs_formatted() == [posted["outputs"][0]["value"]] and result.error is None
    assert posted["outputs"] == server.get(f"/v4/runs/{run['id']}").json()["outputs"]
    server.wait_log(f" callback_delivered run={run['id']} attempts=1")
    assert to.posts.empty()


def test_failure_is_posted_as_well(server, receiver):
    to = receiver()
    run = json.loads(ask(server, MISBEHAVE, "fail_errno", 0, 0, url=to.url()).body)
    posted = to.next()
    assert posted["inputs"] is None and posted["outputs"] is None
    assert posted["error"] == server.get(f"/v4/runs/{run['id']}").json()["error"]
    assert list(posted["error"]) == ["type", "message", "traceback"] and posted["error"]["type"] == "pipeline_error"


def test_run_that_is_cancelled_says_so(server, receiver):
    to = receiver()
    run = json.loads(ask(server, NUMBERS, 1000, "x", 100, url=to.url()).body)
    assert server.ask("DELETE", f"/v4/runs/{run['id']}").status == 200
    assert "cancelled" in to.next()["error"]["message"]


def test_large_body_is_posted_too(server, receiver):
    to = receiver()
    text = "x" * 100_000
    assert ask(server, NUMBERS, 2, text, 0, url=to.url()).status == 202
    assert [value["chunk"] for value in to.next()["outputs"][0]["value"]] == [text, text]


def test_wrong_inputs_are_refused_at_once(server, receiver):
    to = receiver()
    answer = ask(server, NUMBERS, "x", "x", "x", url=to.url())
    assert answer.status == 400 and json.loads(answer.body)["error"]["type"] == "input_error"
    time.sleep(0.1)
    assert to.connections == 0


@pytest.mark.parametrize("url, words", [
    ("ftp://127.0.0.1/", "http:// or https://"), ("file:///etc/passwd", "http:// or https://"), ("nonsense", "http://"),
    ("http://10.0.0.1/", "10.0.0.1 is at a private address, which is not allowed"), ("http://[::1]/", "loopback"),
    ("http://user:word@127.0.0.1/", "user or a password"), ("http://2130706433/", "number"), ("", "http://")])
def test_url_that_nothing_is_sent_to_is_refused_at_once(server, url, words):
    for text in ("x", "x" * 100_000):  # which another process reads
        answer = ask(server, NUMBERS, 1, text, 0, url=url)
        result = json.loads(answer.body)
        assert answer.status == 400 and result["state"] == "failed" and result["error"]["type"] == "input_error"
        assert result["error"]["message"].startswith("callback_url: ") and words in result["error"]["message"]


def test_what_is_no_url_at_all_is_a_422(server):
    for url in (5, ["http://127.0.0.1/"], "http://127.0.0.1/" + "x" * 4096, "http://127.0.0.1/\0"):
        answer = ask(server, NUMBERS, 1, "x", 0, url=url)
        assert answer.status == 422 and json.loads(answer.body)["detail"][0]["loc"] == ["body", "callback_url"]


def test_it_is_ignored_where_somebody_waits(server, receiver):
    to = receiver()
    for url in (to.url(), 5, "ftp://x"):
        assert server.run(NUMBERS, 1, "x", 0, callback_url=url).status == 200
    assert server.run(NUMBERS, 1, "x", 0, async_run=True, callback_url=None).status == 200
    time.sleep(0.1)
    assert to.connections == 0


def test_what_is_not_taken_is_tried_again_and_what_is_refused_is_not(server, receiver):
    statuses = ["400 Bad", "404 Not Found", "410 Gone", "302 Found\r\nLocation: /other"]
    refusing = [receiver(whole(b"no", status)) for status in statuses]
    busy = [receiver(whole(b"", "503 Busy")), receiver(whole(b"", "429 Later")), receiver(lambda connection: None)]
    runs = [json.loads(ask(server, NUMBERS, 1, "x", 0, url=to.url()).body)["id"] for to in refusing + busy]
    for status, run in zip(statuses, runs):
        server.wait_log(f' callback_lost run={run} end=refused attempts=1 reason="it was answered with status {status[:3]}"')
    for to, run in zip(busy, runs[4:]):
        posts = [to.posts.get(timeout=20 * SLOWNESS) for _ in range(2)]
        assert posts[0][2] == posts[1][2] and 0.9 < posts[1][3] - posts[0][3]
        server.wait_log(f" callback_failed run={run} attempts=1 reason=")
        server.wait_log(f" callback_delivered run={run} attempts=2")
    assert [to.connections for to in refusing] == [1, 1, 1, 1]
    assert server.metric('millrace_callbacks_total{end="refused"}') >= 4
    assert server.metric("millrace_callback_retries_total") >= 3 and server.metric("millrace_callbacks_waiting") == 0


def test_fetcher_that_is_killed_is_followed_by_another_one(server, receiver):
    waiting = receiver(lambda connection: connection.recv(1))
    run = json.loads(ask(server, NUMBERS, 1, "x", 0, url=waiting.url()).body)
    waiting.next()
    mark = server.log_mark()
    os.kill(child_called(server.process.pid, "mr-fetcher"), signal.SIGKILL)
    server.wait_log(" fetcher_lost ", mark)
    waiting.next()
    server.wait_log(f" callback_delivered run={run['id']} attempts=2", mark)
    assert server.metric("millrace_fetcher_losses_total") == 1


def test_pipeline_that_does_not_load_says_so_at_once(start, receiver, tmp_path):
    to = receiver()
    (tmp_path / "broken.py").write_text("raise ValueError('broken')\n")
    with start(example("numbers.so"), f"local/broken:v1={tmp_path}/broken.py", options=["--fetch-allow", "127.0.0.1"]) as server:
        answer = ask(server, "local/broken:v1", 1, url=to.url())
        assert answer.status == 500 and json.loads(answer.body)["error"]["type"] == "startup_error"
        assert to.connections == 0


def test_stop_tries_once_more_and_says_what_is_lost(start, receiver):
    busy = receiver(*[whole(b"", "503 Busy")] * 9)
    slow = receiver(whole(b"", "503 Busy"))
    server = start(example("numbers.so"), options=["--fetch-allow", "127.0.0.1", "--stop-timeout", "5s"])
    lost = json.loads(ask(server, NUMBERS, 1, "x", 0, url=busy.url()).body)
    kept = json.loads(ask(server, NUMBERS, 1, "x", 0, url=slow.url()).body)
    server.wait_log(f" callback_failed run={lost['id']} attempts=1")
    server.wait_log(f" callback_failed run={kept['id']} attempts=1")
    last = json.loads(ask(server, NUMBERS, 5, "x", 100, url=slow.url()).body)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    end = server.wait_log(rf' callback_lost run={lost["id"]} end=given_up attempts=(\d) reason="it was answered with status 503"')
    assert busy.connections == int(end[1]) in (2, 3), "the third, where this machine was slow"
    assert slow.connections == 3
    assert not server.log_since(0, f"callback_lost run=({kept['id']}|{last['id']})")


def test_nothing_is_posted_where_that_is_turned_off(start):
    with start(example("numbers.so"), options=["--fetch-allow", "none"]) as server:
        answer = ask(server, NUMBERS, 1, "x", 0, url="http://192.0.2.1/")
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["message"] == "callback_url: this server connects to no URLs"


def test_name_that_leads_to_a_forbidden_address_is_refused_when_it_is_posted(start, receiver):
    to = receiver()
    with start(example("numbers.so")) as server:
        run = json.loads(ask(server, NUMBERS, 1, "x", 0, url=f"http://localhost:{to.port}/").body)
        server.wait_log(f' callback_lost run={run["id"]} end=refused attempts=1 '
                        f'reason="localhost is at a loopback address, which is not allowed"')
    assert to.connections == 0
