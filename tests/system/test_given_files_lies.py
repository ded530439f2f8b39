# SPDX-License-Identifier: MIT
"""What workers say of files is not believed: who lies is killed, or passed over; nothing is kept, and nobody else notices."""

import os

import pytest

from server import wait_until
from test_given_files import is_settled
from wire import result_of

LIAR, HONEST = "x/liar:v1", "x/vast:v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lies") / "files"


@pytest.fixture(scope="module")
def server(start_shared, pipelines, folder):
    return start_shared(f"{LIAR}={pipelines('file_liar')}:liar", f"{HONEST}={pipelines('gives')}:vast",
                        options=["--files", str(folder), "--file-limit", "1M"])


def nothing_is_kept(server, folder):
    wait_until(lambda: is_settled(server, folder))
    assert os.listdir(folder / "stored") == []


@pytest.mark.parametrize("lie, reason", [
    ("number", "it told of a file out of turn"), ("twice", "it told of a file out of turn"),
    ("slot", "it told of a file of no run"), ("name", "it told of a file in a way that cannot be read"),
    ("cut", "it told of a file in a way that cannot be read"), ("unkept", "it sent a chunk that is not msgpack")])
def test_a_worker_that_says_of_files_what_cannot_be_is_killed(server, folder, lie, reason):
    mark = server.log_mark()
    error = result_of(server.run(LIAR, lie))["error"]
    assert error["type"] == "pipeline_error" and reason in error["message"]
    server.wait_log(" worker_ready ", mark)
    nothing_is_kept(server, folder)


@pytest.mark.parametrize("lie", ["late", "huge", "silent", "flood"])
def test_what_is_told_of_other_runs_or_goes_no_further_is_passed_over(server, folder, lie):
    process = server.workers(LIAR)[0]["pid"]
    assert result_of(server.run(LIAR, lie))["outputs"][0]["value"] == ["told"]
    assert server.workers(LIAR)[0]["pid"] == process
    nothing_is_kept(server, folder)


def test_no_more_is_taken_of_a_file_than_was_said(server, folder):
    mark = server.log_mark()
    assert "exited with code 74" in result_of(server.run(LIAR, "more"))["error"]["message"]
    server.wait_log(" worker_ready ", mark)
    nothing_is_kept(server, folder)


def test_others_have_their_files_meanwhile(server):
    with server.stream(LIAR, "flood") as stream:
        file = result_of(server.run(HONEST, 1000, "v.bin"))["outputs"][0]["file"]
        assert server.get("/v4/files/download/" + file["path"]).body == bytes(1000)
        assert stream.all()[0]["outputs"][0]["value"] == "told"
