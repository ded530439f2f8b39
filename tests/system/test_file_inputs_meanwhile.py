# SPDX-License-Identifier: MIT
"""What happens to a run while its files are brought: its server stops or reloads, its pipeline goes, descriptors are few."""

import os
import signal
import threading

import pytest

from confined import needs_python
from fetching import says, whole
from server import SLOWNESS, wait_until
from test_file_inputs import (CODE, LOOK, SERVED, WORDS, by_id, by_url, dictionary, refused, result_of, serve,  # noqa: F401
                              upload, wait_until_they_are_gone)

pytestmark = needs_python
ALLOWED = ["--files", "files", "--fetch-allow", "127.0.0.1"]


class Waiting:
    """A run that waits for a URL, which answers when it may."""

    def __init__(self, server, serve):  # pylint: disable=redefined-outer-name
        self.gate, self.answer = threading.Event(), None
        self.target = serve(lambda connection, _: (self.gate.wait(20 * SLOWNESS), connection.sendall(whole(b"a cat"))))
        self.thread = threading.Thread(target=self.run, args=(server, ))
        self.thread.start()
        wait_until(lambda: self.target.connections == 1, what="a connection")

    def run(self, server):
        self.answer = server.run(LOOK, by_url(self.target.url("/photo.jpg")), dictionary())

    def end(self, lets=True):
        if lets:
            self.gate.set()
        self.thread.join(20 * SLOWNESS)
        self.gate.set()
        return self.answer


@pytest.fixture
def configured(start, tmp_path):
    """configured(LINE...) is a server of a file with these lines; its say(LINE...) writes others, which it reads again."""
    path = tmp_path / "millrace.yaml"

    def begin(*lines):
        path.write_text("\n".join(["files: files", *lines]))
        server = start(options=["--config", str(path)])

        def say(*lines):
            since = server.log_mark()
            path.write_text("\n".join(["files: files", *lines]))
            server.signal(signal.SIGHUP)
            server.wait_log(" reload_end ", since)

        server.say, server.runs = say, tmp_path / "files" / "runs"
        return server

    return begin


def pipelines(*items):
    return ["pipelines:", *(f"  {pointer}: {{source: '{CODE}:{graph}'{more}}}" for pointer, graph, more in items)]


@pytest.mark.parametrize("signals", [1, 2])
def test_a_server_that_stops_waits_for_no_file(start, serve, signals):  # noqa: F811
    server = start(SERVED[0], options=ALLOWED)
    waiting = Waiting(server, serve)
    for _ in range(signals):
        server.signal(signal.SIGTERM)
    answer = waiting.end(lets=False)
    assert answer.status == 503 and "stopping" in answer.json()["error"]["message"]
    server.wait_exit()


def test_a_run_that_waits_gets_its_files_by_the_rules_it_came_under(configured, serve):  # noqa: F811
    server = configured("fetch-allow: ['127.0.0.1']", *pipelines((LOOK, "looks", "")))
    waiting = Waiting(server, serve)
    server.say("fetch-allow: ['none']", *pipelines((LOOK, "looks", ", env: ['A=1']")))
    assert "connects to no URLs" in refused(server.run(LOOK, by_url(waiting.target.url()), dictionary()))
    assert result_of(waiting.end())["text"] == "a cat"
    wait_until(lambda: not os.listdir(server.runs), what="an empty folder of runs")


def test_a_run_whose_pipeline_went_is_told(configured, serve):  # noqa: F811
    lines, others = ["fetch-allow: ['127.0.0.1']"], (WORDS, "streams", "")
    server = configured(*lines, *pipelines((LOOK, "looks", ""), others))
    waiting = Waiting(server, serve)
    server.say(*lines, *pipelines(others))
    answer = waiting.end()
    assert answer.status == 503 and "removed" in answer.json()["error"]["message"]
    wait_until(lambda: not os.listdir(server.runs), what="an empty folder of runs")


def test_a_pipeline_that_sleeps_is_woken_by_a_run_with_files(configured):
    server = configured(*pipelines((WORDS, "streams", ", workers: {min: 0, max: 1}, idle-timeout: 1s")))
    server.wait_log(" scale_down .* to=0 ")
    assert result_of(server.run(WORDS, by_id(upload(server, b"one two")), 0.0)) == ["one", "two"]


def test_runs_that_find_no_descriptor_are_refused_and_others_are_not(start, serve):  # noqa: F811
    few = ["sh", "-c", 'ulimit -n 140; exec "$0" "$@"']
    server = start(SERVED[0], options=[*ALLOWED, "--max-connections", "20"], command=few)
    target, statuses = serve(says(whole(b"a cat"))), []

    def run(number):
        inputs = by_url(target.url(f"/a{number}")), dictionary(mask=by_url(target.url(f"/b{number}")))
        statuses.append(server.run(LOOK, *inputs).status)

    threads = [threading.Thread(target=run, args=(number, )) for number in range(18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 18 and set(statuses) <= {200, 503}
    run("z")
    assert statuses[-1] == 200
    wait_until_they_are_gone(server)
