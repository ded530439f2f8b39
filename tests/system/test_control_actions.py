# SPDX-License-Identifier: MIT
"""What a running server is told over its control socket: reload, check, drain, scale, restart, stop."""

import os
import signal
import socket
import threading

import pytest

from editions import EDITION, OTHER, WITHOUT_LISTEN, Streams, edition_of, pids
from operator_socket import Connection, path_of, pipeline_state, refused, state, tell
from server import SLOWNESS, wait_until

THIRD = "test/third:v1"


# ---- reload ----------------------------------------------------------------------------------------


def reload_lists(answer):
    return {key: answer[key] for key in ("added", "replaced", "removed", "changed", "kept") if answer[key]}


def test_a_reload_is_answered_with_what_became_of_each_when_all_is_done(begin, file):
    server = begin()
    file.publish(2)
    file.say(THIRD, source="edition.so:edition")
    del file.pipelines[OTHER]
    file.write()
    answer = tell(server, "reload")
    assert answer["result"] == "done" and answer["generation"] == 2 and answer["ms"] < 60000
    assert reload_lists(answer) == {"added": [THIRD], "replaced": [EDITION], "removed": [OTHER]}
    assert edition_of(server) == edition_of(server, THIRD) == [2]  # that is: it was not answered before
    file.say(EDITION, queue=7)
    file.top["body-limit"] = "64k"
    file.write()
    answer = tell(server, "reload")
    assert reload_lists(answer) == {"changed": [EDITION], "kept": [THIRD]}
    assert answer["restart_keys"] == ["body-limit"]
    assert state(server)["reload"]["generation"] == 3


def test_a_wrong_file_is_answered_with_all_that_is_wrong_and_changes_nothing(begin, file):
    server = begin()
    before = pids(server, EDITION)
    file.path.write_text(f"pipelines:\n  {EDITION}:\n    source: edition.so:edition\n    workrs: 2\n  x: y.so\n")
    answer = tell(server, "reload")
    assert answer["result"] == "failed" and answer["generation"] == 1 and not reload_lists(answer)
    assert answer["errors"] == [
        f'{file.path}:4:5: pipelines.{EDITION}: unknown key "workrs" (nearest: workers)',
        f"{file.path}:5:3: pipelines: 'x' is not a pointer like me/words:v1"]
    assert pids(server, EDITION) == before and state(server)["reload"]["last_result"] == "failed"


def test_one_that_does_not_start_is_named_with_its_reason_and_the_rest_is_done(begin, file):
    server = begin()
    file.publish(3, "-DBROKEN")
    file.say(THIRD, source="other.so:edition")
    file.write()
    answer = tell(server, "reload")
    assert answer["result"] == "failed" and answer["generation"] == 2
    assert reload_lists(answer) == {"added": [THIRD], "kept": [OTHER]}
    [failed] = answer["failed"]
    assert failed["pointer"] == EDITION and "edition 3 has no press" in failed["reason"]
    assert edition_of(server) == [1]


def test_a_port_in_use_and_a_token_file_that_is_gone_are_answered(begin, file):
    file.top["listen"] = "['127.0.0.1:0']"
    server = begin(command=WITHOUT_LISTEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.top["listen"] = f"['127.0.0.1:0', '127.0.0.1:{taken.getsockname()[1]}']"
        file.write()
        answer = tell(server, "reload")
        assert answer["result"] == "failed" and "Address already in use" in answer["errors"][0]
    file.top = {"token-file": "gone"}
    file.write()
    [error] = tell(server, "reload")["errors"]
    assert "token-file" in error and "No such file" in error
    assert edition_of(server) == [1]


def test_who_asks_while_one_goes_on_is_answered_by_the_next_one(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    file.say(EDITION, start_timeout="1s")
    file.write()
    answers = []
    first = threading.Thread(target=lambda: answers.append(("first", tell(server, "reload"))))
    first.start()
    wait_until(lambda: state(server)["reload"]["state"] == "starting")
    file.publish(3)
    later = [threading.Thread(target=lambda: answers.append(("later", tell(server, "reload")))) for _ in range(3)]
    for thread in later:
        thread.start()
    for thread in [first, *later]:
        thread.join()
    assert answers[0][0] == "first" and answers[0][1]["result"] == "failed"
    assert [answer["result"] for _, answer in answers[1:]] == ["done"] * 3
    assert {answer["generation"] for _, answer in answers[1:]} == {3}  # one reload for all of them
    assert edition_of(server) == [3]


def test_a_client_that_leaves_while_it_waits_costs_nothing(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    file.say(EDITION, start_timeout="1s")
    file.write()
    connection = Connection(path_of(server))
    connection.request("POST", "/control/reload", "{}")
    wait_until(lambda: state(server)["reload"]["state"] == "starting")
    connection.close()
    wait_until(lambda: state(server)["reload"]["state"] == "idle", 20 * SLOWNESS)
    assert tell(server, "reload", wait=False) == {"result": "started"}
    assert edition_of(server) == [1]


def test_a_stop_answers_who_waits(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    file.write()
    answers = []
    waits = threading.Thread(target=lambda: answers.append(tell(server, "reload")))
    waits.start()
    wait_until(lambda: state(server)["reload"]["state"] == "starting")
    server.signal(signal.SIGTERM)
    waits.join()
    assert server.wait_exit() == 0
    assert answers[0]["result"] == "failed"


# ---- check -----------------------------------------------------------------------------------------


def test_another_file_is_compared_and_nothing_changes(begin, file, tmp_path):
    server = begin()
    before = pids(server, EDITION) | pids(server, OTHER)
    mark = server.log_mark()
    other = tmp_path / "candidate.yaml"
    other.write_text(f"body-limit: 64k\npipelines:\n  {EDITION}: {{source: edition.so:edition, concurrency: 2}}\n"
                     f"  {OTHER}: {{source: other.so:edition, queue: 3}}\n  {THIRD}: edition.so:edition\n")
    answer = tell(server, "check", config=str(other))
    assert answer["result"] == "valid" and answer["restart_keys"] == ["body-limit"]
    assert reload_lists(answer) == {"added": [THIRD], "replaced": [EDITION], "changed": [OTHER]}
    other.write_text(f"pipelines:\n  {EDITION}: nothing.so\n")
    answer = tell(server, "check", config=str(other))
    assert answer["result"] == "invalid" and "nothing.so" in answer["errors"][0]
    assert tell(server, "check", config=str(tmp_path / "no.yaml"))["errors"] == [
        f"{tmp_path}/no.yaml: No such file or directory"]
    assert pids(server, EDITION) | pids(server, OTHER) == before
    assert state(server)["reload"]["generation"] == 1 and not server.log_since(mark, "reload")


@pytest.mark.parametrize("said", ["millrace.yaml", "./millrace.yaml", None])
def test_the_same_file_by_another_name_is_no_difference(start, file, said):
    file.top["defaults"] = "{allow-read: [.]}"
    file.write()
    server = start(options=["--config", said or str(file.path)], command=["env", "-C", str(file.folder)])
    assert reload_lists(tell(server, "check", config=str(file.path))) == {"kept": [EDITION, OTHER]}
    beside = file.folder / "beside.yaml"
    beside.write_text(file.path.read_text())
    if said != "./millrace.yaml":
        assert reload_lists(tell(server, "check", config=str(beside))) == {"kept": [EDITION, OTHER]}


def test_several_compare_at_once_and_reload_meanwhile(begin, file):
    server = begin()
    file.publish(2)
    answers = []

    def compare():
        for _ in range(10):
            answers.append(tell(server, "check", config=str(file.path))["result"])

    threads = [threading.Thread(target=compare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for edition in range(3, 8):
        file.publish(edition)
        assert tell(server, "reload")["replaced"] == [EDITION]
    for thread in threads:
        thread.join()
    assert answers == ["valid"] * 30 and edition_of(server) == [7]


# ---- drain, scale, restart, stop -------------------------------------------------------------------


def test_a_drained_pipeline_takes_no_runs_and_finishes_those_it_has(begin):
    server = begin()
    with server.stream(EDITION, 3, 300 * SLOWNESS) as running, server.stream(EDITION, 1, 0) as waits:
        running.next()
        assert tell(server, "drain", pipeline=EDITION) == {
            "pipelines": [{"pointer": EDITION, "drained": True, "active": 1, "queued": 1}]}
        refusal = server.run(EDITION, 1, 0)
        assert refusal.status == 503 and int(refusal.values("retry-after")[0]) > 0
        assert "it is drained" in str(refusal.body)
        assert edition_of(server, OTHER) == [1] and server.get("/readyz").status == 200
        assert len(running.all()) == 2 and len(waits.all()) == 1
    assert pipeline_state(server, EDITION)["drained"] is True
    assert server.metric(f'millrace_refusals_total{{pipeline="{EDITION}",cause="drained"}}') == 1
    assert tell(server, "resume", pipeline=EDITION)["pipelines"][0]["drained"] is False
    assert edition_of(server) == [1]


def test_a_drained_pipeline_stays_so_when_it_is_replaced(begin, file):
    server = begin()
    tell(server, "drain", pipeline=EDITION)
    file.publish(2)
    assert tell(server, "reload")["replaced"] == [EDITION]
    assert server.run(EDITION, 1, 0).status == 503
    tell(server, "resume", pipeline=EDITION)
    assert edition_of(server) == [2]


def test_a_drained_server_says_so_to_balancers_and_comes_back(begin):
    server = begin()
    assert {item["pointer"] for item in tell(server, "drain")["pipelines"]} == {EDITION, OTHER}
    assert state(server)["server"]["state"] == "drained"
    assert server.get("/readyz").status == 503 and b"drained" in server.get("/readyz").body
    assert server.run(EDITION, 1, 0).status == server.run(OTHER, 1, 0).status == 503
    tell(server, "resume")
    assert server.get("/readyz").status == 200 and edition_of(server) == [1]


def test_workers_are_as_many_as_the_operator_wants_until_the_next_reload(begin):
    server = begin()
    [first] = pids(server, EDITION)
    with Streams(server, EDITION, EDITION, EDITION) as streams:
        answer = tell(server, "scale", pipeline=EDITION, workers=3)
        assert (answer["workers_min"], answer["workers_max"], answer["workers_wanted"]) == (3, 3, 3)
        wait_until(lambda: sum(worker["state"] == "ready" for worker in server.workers(EDITION)) == 3)
        tell(server, "scale", pipeline=EDITION, workers=1)
        wait_until(lambda: pids(server, EDITION) == {first})
        tell(server, "scale", pipeline=EDITION, workers=2)
        tell(server, "reload")
        wait_until(lambda: pids(server, EDITION) == {first})
    assert not streams.failures


def test_a_restart_replaces_the_workers_of_one_pipeline_and_cuts_nothing(begin, file):
    file.say(EDITION, workers=2)
    server = begin()
    before, other = pids(server, EDITION), pids(server, OTHER)
    with Streams(server, EDITION, EDITION, OTHER) as streams:
        answer = tell(server, "restart", pipeline=EDITION)
        assert (answer["result"], answer["replaced"], answer["left"], answer["reason"]) == ("done", 2, 0, None)
        assert not before & pids(server, EDITION) and pids(server, OTHER) == other
        answer = tell(server, "restart")
        assert (answer["result"], answer["replaced"]) == ("done", 3)
        assert not other & pids(server, OTHER)
    assert not streams.failures
    assert tell(server, "restart", wait=False)["result"] == "started"


def test_a_restart_that_fails_says_why_and_the_worker_stays(begin, file):
    server = begin()
    before = pids(server, EDITION)
    file.publish(2, "-DBROKEN")
    answer = tell(server, "restart", pipeline=EDITION)
    assert (answer["result"], answer["replaced"], answer["left"]) == ("failed", 0, 1)
    assert "edition 2 has no press" in answer["reason"]
    assert pids(server, EDITION) == before and edition_of(server) == [1]


def test_a_stop_is_that_of_a_signal_and_can_be_watched(begin):
    server = begin("--stop-timeout", "60s")
    with server.stream(EDITION, 3, 400 * SLOWNESS) as running:
        running.next()
        answer = tell(server, "stop")
        assert (answer["pid"], answer["state"], answer["runs"]) == (server.process.pid, "draining", 1)
        assert state(server)["server"]["state"] == "draining"
        assert refused(server, "reload") == (409, "The server stops.")
        assert refused(server, "restart") == (409, "The server stops.")
        assert tell(server, "stop")["state"] == "draining"  # asking twice is no haste
        assert len(running.all()) == 2
    assert server.wait_exit() == 0 and not os.path.exists(path_of(server))


def test_a_stop_now_does_not_wait(begin):
    server = begin("--stop-timeout", "60s")
    with server.stream(EDITION, 1000, 100) as running:
        running.next()
        tell(server, "stop", now=True)
        assert server.wait_exit() == 9
        assert not os.path.exists(path_of(server))
