# SPDX-License-Identifier: MIT
"""SIGHUP: the file is read again, only what is different is touched, and what is wrong changes nothing."""

import os
import pathlib
import re
import signal
import socket
import time

import pytest

import wire
from confined import needs_python
from conftest import public_folder
from editions import EDITION, OTHER, WITHOUT_LISTEN, File, Streams, edition_of, pids
from operator_socket import state
from server import IS_SANITIZED, SLOWNESS, bearer, make_tokens, process_exists, wait_until

THIRD = "test/third:v1"
# Of the storm; `make reloads` says more.
RELOADS = int(os.environ.get("RELOADS", "50"))
STREAMS = int(os.environ.get("STREAMS", "9"))


def end_of(server, mark):
    """What the log says of the reload that was asked for since: its counts."""
    match = server.wait_log(r" (reload_end .*|error reload_failed reason=.*)", mark, 30 * SLOWNESS)
    words = dict(word.split("=") for word in match[1].split()[1:]) if match[1].startswith("reload_end") else None
    return {key: int(value) for key, value in words.items()} if words else None


def reload(server):
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    return end_of(server, mark)


def counts(**given):
    return {**dict.fromkeys(("added", "replaced", "removed", "changed", "kept", "failed"), 0), **given}


def expect(server, **given):
    """What the file says now is served, and these are the counts of its pipelines."""
    server.said.write()
    found = reload(server)
    assert found, "it was refused"
    assert {key: found[key] for key in counts()} == counts(**given), "\n".join(server.log[-20:])


def refused(server):
    mark = server.log_mark()
    assert reload(server) is None
    return "\n".join(server.log_since(mark, "reload_failed"))


# ---- what changes ----------------------------------------------------------------------------------


def test_nothing_is_touched_where_nothing_is_different(begin, file):
    server = begin()
    before = pids(server, EDITION) | pids(server, OTHER)
    expect(server, kept=2)
    os.utime(file.folder / "edition.so")  # the content counts
    expect(server, kept=2)
    assert pids(server, EDITION) | pids(server, OTHER) == before
    assert server.metric("millrace_config_generation") == 3
    assert server.metric('millrace_reloads_total{result="ok"}') == 2
    assert server.metric("millrace_reload_ok") == 1
    assert abs(server.metric("millrace_reload_time_seconds") - time.time()) < 60


def test_limits_change_at_once_and_processes_stay(begin, file):
    file.top["no-auth"] = "true"
    file.say(EDITION, queue=10)
    server = begin()
    before = pids(server, EDITION)
    other = pids(server, OTHER)
    with server.stream(EDITION, 2, 700 * SLOWNESS) as running:
        file.say(EDITION, queue=0, run_timeout="1s")
        file.top["body-limit"] = "64k"
        mark = server.log_mark()
        expect(server, changed=1, kept=1)
        server.wait_log(r" warning reload_needs_restart key=body-limit ", mark)
        assert server.run(EDITION, 1, 0).status == 429  # the queue has no place now
        assert len(running.all()) == 2  # with the limits that it began with
    late = server.run(EDITION, 2, 5000 * SLOWNESS)
    assert "its limit" in str(late.body)
    assert pids(server, EDITION) == before and pids(server, OTHER) == other


def test_workers_come_and_go_beside_those_that_stay(begin, file):
    server = begin()
    first = pids(server, EDITION)
    file.say(EDITION, workers=3)
    expect(server, changed=1, kept=1)
    wait_until(lambda: sum(worker["state"] == "ready" for worker in server.workers(EDITION)) == 3)
    assert first < pids(server, EDITION)
    file.say(EDITION, workers=1, recycle_runs=5, recycle_overlap="true")
    expect(server, changed=1, kept=1)
    wait_until(lambda: pids(server, EDITION) - {0} == first)
    for _ in range(5):
        assert edition_of(server) == [1]
    wait_until(lambda: first.isdisjoint(pids(server, EDITION)))
    file.say(EDITION)
    expect(server, changed=1, kept=1)
    wait_until(lambda: len(server.workers(EDITION)) == 1)
    assert edition_of(server) == [1]


def test_workers_may_be_renewed_before_a_spare_place_that_is_not_wanted_any_more_has_gone(begin, file):
    file.say(EDITION, workers=1, concurrency=2, recycle_runs=1, recycle_overlap="true")
    server = begin()
    with server.stream(EDITION, 1_000_000, 10) as long:
        long.next()
        assert edition_of(server) == [1]  # which is one run too many: another worker follows beside it
        server.wait_log(f" worker_retire pipeline={EDITION} ")
        file.say(EDITION, workers=1, concurrency=2)
        expect(server, changed=1, kept=1)
        mark = server.log_mark()
        server.signal(signal.SIGUSR2)
        server.wait_log(" renewal_begin ", mark)
    server.wait_log(" renewal_end ", mark)
    assert edition_of(server) == [1]


def test_pipelines_are_added_and_removed(begin, file):
    server = begin()
    kept = pids(server, OTHER)
    gone = pids(server, EDITION)
    with server.stream(EDITION, 20, 50) as running:
        del file.pipelines[EDITION]
        file.say(THIRD)
        mark = server.log_mark()
        expect(server, added=1, removed=1, kept=1)
        server.wait_log(rf" pipeline_removed pipeline={EDITION} runs=1$", mark)
        server.wait_log(rf" pipeline_served pipeline={THIRD} workers=1$", mark)
        assert server.run(EDITION, 1, 0).status == 404
        assert edition_of(server, THIRD) == [1]
        assert len(running.all()) == 20  # what runs goes on
    wait_until(lambda: not any(process_exists(pid) for pid in gone))
    assert pids(server, OTHER) == kept


@pytest.mark.parametrize("change", [
    {"concurrency": 4}, {"environment": "{A: b}"}, {"ring": "256k"}, {"window": "64k"}, {"worker-nofile": 200},
    {"worker-core": "0"}, {"source": "copy.so:edition"},
])
def test_what_processes_know_is_in_new_ones(begin, file, change):
    file.publish(1, name="copy.so")
    server = begin()
    kept = pids(server, OTHER)
    before = pids(server, EDITION)
    with Streams(server, EDITION, EDITION) as streams:
        file.pipelines[EDITION].update(change)
        file.write()
        expect(server, replaced=1, kept=1)
    assert streams.failures == []
    assert before.isdisjoint(pids(server, EDITION)) and pids(server, OTHER) == kept
    wait_until(lambda: not any(process_exists(pid) for pid in before))


def test_a_changed_file_is_a_change(begin, file):
    server = begin()
    kept = pids(server, OTHER)
    accepted = f'millrace_runs_accepted_total{{pipeline="{EDITION}"}}'
    with server.stream(EDITION, 20, 50) as running, Streams(server, EDITION, EDITION) as streams:
        next(iter(running))
        file.publish(2)
        expect(server, replaced=1, kept=1)
        assert edition_of(server) == [2]
        count = len(streams.editions)
        wait_until(lambda: len(streams.editions) > count + 14)
        # One of two may end an old run while the other one has had some new ones.
        assert {edition for _, edition in streams.editions[count + 8:]} == {2}
        assert {wire.output_of(line) for line in running.all()} == {1}  # the old ones finish their runs
    assert streams.failures == [] and {edition for _, edition in streams.editions} == {1, 2}
    assert pids(server, OTHER) == kept
    assert server.metric(accepted) == len(streams.editions) + 2  # what is counted goes on
    server.metrics()


def test_runs_that_wait_finish_where_they_were_taken(begin, file):
    file.say(EDITION, queue=10)
    server = begin()
    taken = [server.stream(EDITION, 5, 100) for _ in range(4)]
    wait_until(lambda: server.metric(f'millrace_queue_depth{{pipeline="{EDITION}"}}') == 3)
    file.publish(2)
    expect(server, replaced=1, kept=1)
    assert edition_of(server) == [2]
    for stream in taken:
        with stream:
            assert [wire.output_of(line) for line in stream.all()] == [1] * 5


PYTHON = """
from pipeline import Pipeline, Variable, pipe
@pipe
def edition(count: int, pause_ms: int) -> int:
    return {edition}
with Pipeline() as builder:
    count, pause_ms = Variable(int), Variable(int)
    builder.output(edition(count, pause_ms))
edition_pipeline = builder.get_pipeline()
"""


@needs_python
@pytest.mark.parametrize("source", ["printed.py:edition_pipeline", "pipeline.yaml"])
def test_an_edited_python_file_is_a_change(begin, file, source):
    manifest = file.folder / "pipeline.yaml"
    manifest.write_text("pipeline_graph: printed:edition_pipeline\n")
    (file.folder / "printed.py").write_text(PYTHON.format(edition=1))
    file.say(EDITION, source=source)
    server = begin()
    (file.folder / "printed.py").write_text(PYTHON.format(edition=22))
    expect(server, replaced=1, kept=1)
    assert edition_of(server) == [22]
    expect(server, kept=2)
    manifest.write_text("pipeline_graph: printed:edition_pipeline\ndescription: another one\n")
    if source == manifest.name:
        expect(server, replaced=1, kept=1)
    else:
        expect(server, kept=2)
    assert edition_of(server) == [22]


# ---- what is wrong ---------------------------------------------------------------------------------


def test_a_wrong_file_changes_nothing_and_each_mistake_is_a_line(begin, file):
    server = begin()
    before = pids(server, EDITION) | pids(server, OTHER)
    good = file.path.read_text()
    file.path.write_text(good + "  - [\n")
    assert f"{file.path}:" in refused(server)
    file.path.write_text(good.replace("source: edition.so:edition", "sauce: a", 1) + "worker-s: 3\n")
    lines = refused(server)
    assert f'{file.path}:3:5: pipelines.{EDITION}: unknown key' in lines.replace('\\"', '"') and "worker-s" in lines
    file.path.write_text(good.replace("edition.so", "nowhere.so"))
    assert f"{file.path}:3:13: " in refused(server)
    os.remove(file.path)
    assert "No such file" in refused(server)
    file.path.write_text(good)
    assert server.metric('millrace_reloads_total{result="failed"}') == 4
    assert server.metric("millrace_reload_ok") == 0 and server.metric("millrace_config_generation") == 1
    expect(server, kept=2)
    assert pids(server, EDITION) | pids(server, OTHER) == before


@pytest.mark.parametrize("options, reason", [
    (["-DBROKEN"], "edition 2 has no press"),
    (["-DHANGING"], "it was not ready in time"),
])
def test_what_does_not_become_ready_is_not_served(begin, file, options, reason):
    file.say(EDITION, start_timeout="1s")
    server = begin()
    before = pids(server, EDITION)
    with Streams(server, EDITION) as streams:
        file.publish(2, *options)
        file.say(OTHER, source="other.so:edition", queue=3)
        file.say(THIRD, start_timeout="1s")
        mark = server.log_mark()
        expect(server, failed=2, changed=1)
        for pointer in (EDITION, THIRD):
            assert reason in server.wait_log(rf" error reload_failed pipeline={pointer} (.*)", mark)[1]
    assert streams.failures == []
    assert pids(server, EDITION) == before and edition_of(server) == [1]
    assert server.run(THIRD, 1, 0).status == 404
    assert server.get("/readyz").status == 200 and server.metric("millrace_reload_ok") == 0
    file.publish(3)
    expect(server, replaced=1, added=1, kept=1)
    assert edition_of(server) == [3]


# ---- where there is room for one set of workers ----------------------------------------------------


class Room:
    """Which processes hold a place of which there is one: each worker has it from its start to its end."""

    def __init__(self, folder):
        self.path = folder / "room"

    def options(self):
        return f'-DROOM="{self.path}"'


def is_coming(server):
    return "coming" in {pipeline["phase"] for pipeline in state(server)["pipelines"]}


@pytest.fixture
def room(file):
    made = Room(file.folder)
    file.publish(1, made.options())
    file.say(EDITION, reload_after="true")
    return made


def test_new_workers_start_when_the_old_ones_have_ended_their_runs_and_gone(begin, file, room):
    server = begin()
    file.publish(2, room.options())
    mark = server.log_mark()
    with server.stream(EDITION, 3, 600 * SLOWNESS) as running, server.stream(EDITION, 1, 0) as waits:
        running.next()
        server.signal(signal.SIGHUP)
        wait_until(lambda: is_coming(server))
        refusal = server.run(EDITION, 1, 0)
        assert wire.result_of(refusal)["error"]["type"] == "pipeline_loading" and refusal.values("retry-after")
        assert server.get("/readyz").status == 503
        assert edition_of(server, OTHER) == [1]
        assert [wire.output_of(line) for line in running.all()] == [1, 1]
        assert [wire.output_of(line) for line in waits.all()] == [1]
    found = end_of(server, mark)
    assert (found["replaced"], found["kept"], found["failed"]) == (1, 1, 0)
    assert edition_of(server) == [2] and server.get("/readyz").status == 200


def test_without_it_there_is_no_room_and_the_old_ones_stay(begin, file, room):
    file.say(EDITION)
    server = begin()
    file.publish(2, room.options())
    expect(server, failed=1, kept=1)
    server.wait_log("no room")
    assert edition_of(server) == [1]


def test_where_the_new_ones_fail_the_old_ones_start_again(begin, file, room):
    server = begin()
    first = pids(server, EDITION)
    file.publish(2, room.options(), "-DBROKEN")
    expect(server, failed=1, kept=1)
    wait_until(lambda: server.get("/readyz").status == 200)
    # As the file was before: it is read anew by each process.
    file.publish(1, room.options())
    assert pids(server, EDITION) != first
    wait_until(lambda: server.run(EDITION, 1, 0).status == 200)


def test_a_stop_in_the_middle_ends_it(begin, file, room):
    server = begin()
    file.publish(2, room.options())
    with server.stream(EDITION, 2, 500 * SLOWNESS) as running:
        server.signal(signal.SIGHUP)
        wait_until(lambda: is_coming(server))
        server.signal(signal.SIGTERM)
        assert len(running.all()) == 2
    assert server.wait_exit() == 0


def test_all_of_that_many_times_under_load(begin, file, room):
    file.say(EDITION, reload_after="true", workers=1)
    server = begin()
    with Streams(server, OTHER, OTHER) as streams:
        for edition in range(2, 12):
            file.publish(edition, room.options())
            expect(server, replaced=1, kept=1)
            assert edition_of(server) == [edition]
    assert not streams.failures


# ---- the server ------------------------------------------------------------------------------------


def test_listeners_are_opened_and_closed(begin, file):
    file.top["listen"] = "['127.0.0.1:0']"
    server = begin(command=WITHOUT_LISTEN)
    first = server.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file.top["listen"] = f"['127.0.0.1:0', '127.0.0.1:{taken.getsockname()[1]}', '127.0.0.2:0']"
        file.publish(2)
        file.write()
        assert "Address already in use" in refused(server)
        port = taken.getsockname()[1]
    assert edition_of(server) == [1] and server.port == first
    mark = server.log_mark()
    expect(server, replaced=1, kept=1)
    server.wait_log(rf" listening address=127.0.0.1:{port}$", mark)
    with server.stream(EDITION, 20, 50) as running:
        file.top["listen"] = f"['127.0.0.1:{port}']"
        expect(server, kept=2)
        assert len(running.all()) == 20
    with pytest.raises(OSError):
        server.get("/livez")
    server.address = f"127.0.0.1:{port}"
    assert edition_of(server) == [2]
    for _ in range(5):
        file.top["listen"] = "['127.0.0.1:0']"
        mark = server.log_mark()
        expect(server, kept=2)
        server.address = server.wait_log(r" listening address=(\S+)$", mark)[1]
        file.top["listen"] = f"['127.0.0.1:{port}']"
        expect(server, kept=2)
        server.address = f"127.0.0.1:{port}"
    assert edition_of(server) == [2]


def test_tokens_are_read_again(begin, file):
    tokens = make_tokens(file.folder / "tokens", "alice", "bob")
    file.top["token-file"] = "tokens"
    server = begin()

    def status(token):
        return server.run(EDITION, 1, 0, headers=bearer(token)).status

    assert [status(token) for token in tokens] == [200, 200]
    run = server.run(EDITION, 1, 0, headers=bearer(tokens[1])).json()
    lines = (file.folder / "tokens").read_text().splitlines(True)
    (file.folder / "tokens").write_text(lines[1])
    with server.stream(EDITION, 20, 20, headers=bearer(tokens[0])) as running:
        expect(server, kept=2)
        assert len(running.all()) == 20
    assert [status(token) for token in tokens] == [401, 200]
    assert server.get("/v4/runs/" + run["id"], bearer(tokens[1])).status == 200
    carol = make_tokens(file.folder / "tokens", "carol")[0]
    expect(server, kept=2)
    assert status(carol) == 200
    assert server.get("/v4/runs/" + run["id"], bearer(carol)).status == 404
    assert server.get("/v4/runs", bearer(carol)).json() is not None
    os.remove(file.folder / "tokens")
    assert "--token-file" in refused(server)
    assert [status(token) for token in (*tokens, carol)] == [401, 200, 200]


def test_pages_and_metrics_follow_the_file(begin, file):
    file.top["cors-origin"] = "[https://one.example]"
    server = begin()

    def lets(origin):
        return server.get("/livez", {"Origin": origin}).header("access-control-allow-origin") == origin

    assert lets("https://one.example") and not lets("https://two.example")
    file.top.update({"cors-origin": "[https://two.example]", "metrics": "off", "log-level": "debug"})
    file.write()
    mark = server.log_mark()
    expect(server, kept=2)
    assert lets("https://two.example") and not lets("https://one.example")
    assert server.get("/metrics").status == 404
    server.wait_log(r" debug config_end number=1$", mark)


def test_one_reload_at_a_time_and_none_while_it_stops(begin, file):
    file.say(EDITION, start_timeout="2s")
    server = begin()
    file.publish(2, "-DHANGING")
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(r" signal signal=1 ", mark)
    time.sleep(0.5)
    file.publish(3)
    for _ in range(3):
        server.signal(signal.SIGHUP)
        time.sleep(0.02)
    wait_until(lambda: len(server.log_since(mark, " reload_end ")) == 2)
    time.sleep(0.3)
    assert len(server.log_since(mark, " reload_end ")) == 2
    assert edition_of(server) == [3]
    with server.stream(EDITION, 20, 50) as running:
        running.begin()
        mark = server.log_mark()
        server.signal(signal.SIGTERM)
        server.wait_log(" draining ", mark)
        server.signal(signal.SIGHUP)
        server.wait_log(r' signal=1 .*name=SIGHUP reason="ignored: the server stops"$', mark)
        assert len(running.all()) == 20
    assert server.wait_exit() == 0


def test_a_server_stops_in_the_middle_of_a_reload(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.log_since(mark, " worker_start ") or server.metric("millrace_config_generation") == 2)
    server.stop()


def test_a_source_that_cannot_be_read_to_its_end_holds_nobody_up(begin, file):
    """A FIFO as a file of variables: the thread waits for who writes it, and nobody else does."""
    server = begin()
    os.mkfifo(file.folder / "variables")
    file.say(EDITION, env_file="variables")
    file.write()
    server.signal(signal.SIGHUP)
    mark = server.log_mark()
    with Streams(server, EDITION, OTHER) as streams:
        wait_until(lambda: len(streams.editions) > 50)
        assert server.log_since(mark, "reload") == []
    assert streams.failures == []
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5 * SLOWNESS


def test_workers_with_users_of_their_own_follow_each_other(start):
    if os.geteuid() != 0:
        pytest.skip("only root has users to give")
    with public_folder() as folder:
        file = File(pathlib.Path(folder))
        file.publish(1)
        os.chmod(file.folder / "edition.so", 0o755)
        file.say(EDITION, workers=2)
        file.write()
        server = start(options=["--config", str(file.path)], default_user=True)
        server.said = file
        for edition in range(2, 12):
            before = pids(server, EDITION)
            file.publish(edition)
            os.chmod(file.folder / "edition.so", 0o755)
            expect(server, replaced=1)
            assert edition_of(server) == [edition]
            now = pids(server, EDITION)
            assert before.isdisjoint(now)
            users = {os.stat(f"/proc/{pid}").st_uid for pid in now}
            assert len(users) == 2 and 0 not in users


# ---- a storm ---------------------------------------------------------------------------------------


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def resident_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def share(values, part):
    return sorted(values)[int(len(values) * part)]


class Gapped(Streams):
    """Streams that also say how long each line came after the one before it, in seconds."""

    def __init__(self, *arguments, **options):
        self.gaps = []
        super().__init__(*arguments, **options)

    def _lines(self, pointer, *values):
        with self._server.stream(pointer, *values) as stream:
            lines = stream.all()
        self.gaps += [after - before for before, after in zip(stream.times, stream.times[1:])]
        return lines


@pytest.mark.bounded(60 + 2 * RELOADS)
def test_a_storm_of_reloads_loses_nothing(begin, file):
    """Each changes one pipeline's source and another's limits, adds one and removes one."""
    kept = "test/kept:v1"
    for pointer in (EDITION, OTHER, kept):
        file.say(pointer, source=("edition.so" if pointer == EDITION else "other.so") + ":edition", concurrency=32)
    file.say("test/extra--1:v1", source="other.so:edition")
    server = begin()
    stay = {pointer: pids(server, pointer) for pointer in (OTHER, kept)}
    wait_until(lambda: server.metric("millrace_connections") == 1)
    time.sleep(0.1)  # and that one has gone
    sizes, opened = [], descriptors(server)
    pointers = [(EDITION, OTHER, kept)[number % 3] for number in range(STREAMS)]
    with Gapped(server, *pointers, count=20, pause_ms=10) as streams:
        wait_until(lambda: len(streams.editions) > 4 * len(pointers))
        undisturbed, streams.gaps = streams.gaps, []
        for number in range(RELOADS):
            file.publish(2 - number % 2)
            file.say(OTHER, source="other.so:edition", concurrency=32, queue=100 + number, run_timeout="1h")
            file.pipelines.pop(f"test/extra-{number - 1}:v1", None)
            file.say(f"test/extra-{number}:v1", source="other.so:edition")
            expect(server, added=1, replaced=1, removed=1, changed=1, kept=1)
            sizes.append(resident_kib(server))
        disturbed = streams.gaps
    assert streams.failures == []
    assert {pointer: pids(server, pointer) for pointer in stay} == stay
    assert len(streams.editions) > RELOADS
    quarter = len(sizes) // 4
    if not IS_SANITIZED:  # freed memory is kept for a while there
        assert min(sizes[-quarter:]) - min(sizes[quarter:2 * quarter]) < 2048, sizes
    wait_until(lambda: descriptors(server) == opened, what=f"{opened} descriptors, as before,")
    assert server.metric("millrace_config_generation") == RELOADS + 1
    print(f"\n  {RELOADS} reloads, {len(streams.editions)} streams; resident {sizes[quarter]} to {sizes[-1]} KiB, "
          f"descriptors {opened}; gaps p50 {share(undisturbed, .5) * 1e3:.1f} and "
          f"{share(disturbed, .5) * 1e3:.1f} ms, p99 {share(undisturbed, .99) * 1e3:.1f} and "
          f"{share(disturbed, .99) * 1e3:.1f} ms; longest pass {longest_pass(server)}")


def longest_pass(server):
    """The bound of the last bucket of the histogram in which there is a pass."""
    found = re.findall(r'^millrace_loop_pass_seconds_bucket\{le="([^"]+)"\} (\d+)$',
                       server.get("/metrics").body.decode(), re.MULTILINE)
    return next(bound for bound, count in found if count == found[-1][1]) + " s"
