# SPDX-License-Identifier: MIT
"""Workers that are copies of a process which has loaded the pipeline, and what makes them begin by themselves."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import wire
from conftest import compile_c
from confined import needs_landlock, needs_python
from editions import EDITION, OTHER, edition_of
from operator_socket import path_of, pipeline_state, tell
from server import MILLRACE, SLOWNESS, children_of, example, process_exists, process_fields, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "pipelines", "preloaded.py")
POINTER, STREAMS, C = "me/preloaded:v1", "me/streams:v1", "me/c:v1"

# A server with nothing to serve ends.
SERVED = (f"me/words:v1={example('words.so')}",)

pytestmark = needs_python


def serve(start, *options, does="nothing", preload="import", workers=2, besides=(), **more):
    return start(f"{POINTER}={MODULE}:graph", *besides, options=[
        "--python", "/usr/bin/python3", "--preload", preload, "--workers", str(workers), "--env", f"DOES={does}",
        *options], **more)


def serve_c(start, pipelines, name, *options, besides=(), **more):
    return start(f"{C}={pipelines('preloaded')}:{name}", *besides, options=["--preload", "import", *options], **more)


def template(server, pointer=POINTER):
    return pipeline_state(server, pointer)["template"]


def is_ready_anew(server, before, pointer=POINTER):
    found = template(server, pointer)
    return found["state"] == "ready" and found["pid"] != before


def ask(server, what, argument="", pointer=POINTER):
    return wire.output_of(server.lines(pointer, what, argument)[0])


def of_each_worker(server, what="facts", count=2):
    """What each worker says, by its pid; runs go to whoever is free, so that some are asked often."""
    said = {}
    deadline_s = time.monotonic() + 20 * SLOWNESS
    while len(said) < count and time.monotonic() < deadline_s:
        streams = [server.stream(POINTER, what, "") for _ in range(count)]
        for stream in streams:
            value = wire.output_of(stream.all()[0])
            said[value["pid"]] = value
    assert len(said) == count
    return said


# ---- what is done once -------------------------------------------------------------------------------


@pytest.mark.parametrize("preload, once", [
    ("none", []), ("import", ["imported", "preloaded"]), ("startup", ["imported", "preloaded", "started"])])
def test_a_part_of_the_start_is_done_once_for_all_workers(start, preload, once):
    server = serve(start, preload=preload)
    said = of_each_worker(server)
    for pid, facts in said.items():
        for part in ("imported", "preloaded", "started"):
            assert facts[part] == (template(server)["pid"] if part in once else pid), part
        assert facts["group"] == pid and facts["parent"] == server.process.pid
    assert {facts["index"] for facts in said.values()} == {"0", "1"}
    if preload == "none":
        assert template(server) is None
    else:
        assert (template(server)["state"], template(server)["copies"], template(server)["reason"]) == ("ready", 2, None)
        assert server.metric(f'millrace_template_copies_total{{pipeline="{POINTER}"}}') == 2
        assert server.metric(f'millrace_template_ready{{pipeline="{POINTER}"}}') == 1


def test_ps_has_a_line_for_a_template_and_for_one_that_is_refused(start):
    def shown(server):
        return subprocess.run([MILLRACE, "ps", "--control", path_of(server)], capture_output=True, text=True, check=True,
                              timeout=30 * SLOWNESS).stdout

    server = serve(start)
    assert f"\n  template: ready, pid {template(server)['pid']}, 2 copies\n" in shown(server)
    assert "\n  template: refused, it has 2 threads\n" in shown(serve(start, does="start_thread"))


def test_hooks_of_c_are_run_once_or_by_each_worker(start, pipelines):
    server = serve_c(start, pipelines, "honest", "--workers", "2")
    server.wait_log(f" output pipeline={C} worker=template .*preloaded")
    facts = wire.output_of(server.lines(C, "facts")[0])
    assert facts["preloaded"] == template(server, C)["pid"]
    assert facts["started"] == facts["pid"] != facts["preloaded"]
    by_itself = start(f"{C}={pipelines('preloaded')}:honest")
    facts = wire.output_of(by_itself.lines(C, "facts")[0])
    assert facts["started"] == facts["preloaded"] == facts["pid"]


def test_each_copy_draws_other_numbers(start, pipelines):
    server = serve(start, does="import_numpy")
    assert len({facts["random"] for facts in of_each_worker(server).values()}) == 2
    drawn = set()
    for _ in range(2):
        drawn.add(ask(server, "draw_numpy"))
        worker = server.workers(POINTER)[0]
        os.kill(worker["pid"], signal.SIGKILL)
        server.wait_worker(POINTER, 0, worker["pid"])
    assert len(drawn) == 2
    c = serve_c(start, pipelines, "honest", "--workers", "1")
    first = wire.output_of(c.lines(C, "facts")[0])
    os.kill(first["pid"], signal.SIGKILL)
    c.wait_worker(C, 0, first["pid"])
    assert wire.output_of(c.lines(C, "facts")[0])["random"] != first["random"]


def test_numpy_whose_threads_end_for_a_fork_computes_the_same_in_copies(start):
    by_itself = serve(start, does="import_numpy", preload="none", workers=1)
    server = serve(start, does="import_numpy", preload="startup")
    assert template(server)["state"] == "ready"
    for _ in range(4):
        assert ask(server, "product") == ask(by_itself, "product")


def test_a_copy_has_as_many_descriptors_as_a_worker_that_began_by_itself(start):
    by_itself = ask(serve(start, preload="none", workers=1), "facts")
    for facts in of_each_worker(serve(start)).values():
        assert len(facts["fds"]) == len(by_itself["fds"])


def test_each_copy_reads_a_file_that_is_open_at_a_place_of_its_own(start):
    server = serve(start, does="read_file")
    places = {}
    while len(places) < 2 or min(map(len, places.values())) < 2:  # whoever is free is asked
        for stream in [server.stream(POINTER, "read_on", "") for _ in range(2)]:
            pid, at = wire.output_of(stream.all()[0])
            places.setdefault(pid, []).append(at)
    for read in places.values():
        assert sorted(read) == [7 + 100 * count for count in range(len(read))]


def test_what_waits_in_buffers_is_written_once(start, tmp_path):
    server = serve(start, "--env", f"TMPDIR={tmp_path}", does="write_half_a_line")
    of_each_worker(server)
    server.stop()
    assert len(server.log_since(0, "half a line")) == 1
    assert (tmp_path / "appended").read_text() == "once\n"


def test_threads_that_are_about_to_end_are_no_obstacle(start):
    assert template(serve(start, does="start_thread_that_ends"))["state"] == "ready"


def test_bars_that_were_drawn_are_no_obstacle_and_copies_draw_their_own(start):
    pytest.importorskip("tqdm")
    server = serve(start, does="draw_bar", preload="startup")
    assert template(server)["state"] == "ready", template(server)["reason"]
    assert ask(server, "draw_bar") is None


def test_a_copy_has_the_thread_that_a_worker_has(start):
    assert ask(serve(start, workers=1), "thread_numbers") == [True, True, True]


def test_a_file_that_is_appended_to_may_be_open(start, tmp_path):
    server = serve(start, "--env", f"TMPDIR={tmp_path}", does="append_to_file")
    assert template(server)["state"] == "ready"


# ---- what goes on ------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_followed_by_another_copy(start):
    server = serve(start, preload="startup")
    mark = server.log_mark()
    worker = server.workers(POINTER)[0]
    os.kill(worker["pid"], signal.SIGKILL)
    server.wait_worker(POINTER, 0, worker["pid"])
    server.wait_log(" worker_ready .* worker=0 ", since=mark)
    assert template(server)["copies"] == 3
    assert all(facts["started"] == template(server)["pid"] for facts in of_each_worker(server).values())


def test_a_template_that_dies_is_replaced_and_nobody_notices(start):
    server = start(f"{STREAMS}={MODULE}:streams", options=[
        "--python", "/usr/bin/python3", "--preload", "import", "--workers", "2"])
    stream = server.stream(STREAMS, 50)
    stream.next()
    before, pids = template(server, STREAMS)["pid"], {worker["pid"] for worker in server.workers(STREAMS)}
    os.kill(before, signal.SIGKILL)
    server.wait_log(rf' template_exit pipeline={STREAMS} reason=".*signal 9')
    wait_until(lambda: is_ready_anew(server, before, STREAMS))
    assert [wire.output_of(line) for line in stream.all()][-1] == 49
    assert {worker["pid"] for worker in server.workers(STREAMS)} == pids
    worker = server.workers(STREAMS)[0]
    os.kill(worker["pid"], signal.SIGKILL)
    server.wait_worker(STREAMS, 0, worker["pid"])
    assert template(server, STREAMS)["copies"] == 3


def test_renewed_workers_are_copies_of_a_new_template(start):
    server = serve(start)
    before = template(server)["pid"]
    old = {worker["pid"] for worker in server.workers(POINTER)}
    tell(server, "restart", pipeline=POINTER)
    assert template(server)["pid"] != before
    said = of_each_worker(server)
    assert not old & set(said) and {facts["imported"] for facts in said.values()} == {template(server)["pid"]}


def test_nothing_of_a_server_that_stops_is_left(start):
    server = serve(start)
    pids = [template(server)["pid"], *(worker["pid"] for worker in server.workers(POINTER))]
    server.stop()
    assert not any(process_exists(pid) for pid in pids)


def test_a_server_that_is_killed_leaves_no_template(start):
    server = serve(start)
    pids = [template(server)["pid"], *(worker["pid"] for worker in server.workers(POINTER))]
    server.signal(signal.SIGKILL)
    server.wait_exit()
    wait_until(lambda: not any(process_exists(pid) for pid in pids), what="the end of all")


def test_a_template_that_is_killed_again_and_again_costs_no_process(start):
    server = serve(start, workers=1)
    for _ in range(5):
        before = template(server)["pid"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: is_ready_anew(server, before))
    wait_until(lambda: is_all_gone(server, []), what="no zombie")
    assert ask(server, "facts")["pid"]


def test_a_template_that_ends_too_often_is_not_waited_for(start):
    server = serve(start, workers=1)
    for _ in range(6):
        before = template(server)["pid"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: is_ready_anew(server, before))
    worker = server.workers(POINTER)[0]
    os.kill(template(server)["pid"], signal.SIGKILL)
    wait_until(lambda: template(server)["state"] == "empty")
    os.kill(worker["pid"], signal.SIGKILL)
    server.wait_worker(POINTER, 0, worker["pid"])
    facts = ask(server, "facts")
    assert facts["imported"] == facts["pid"] and template(server)["state"] == "empty"


def test_workers_that_wait_for_a_copy_when_they_are_renewed_are_copies_of_the_new_template(start):
    server = serve(start)
    before, worker = template(server)["pid"], server.workers(POINTER)[0]
    os.kill(before, signal.SIGSTOP)
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: server.workers(POINTER)[0]["state"] == "spawning")
    tell(server, "restart", pipeline=POINTER)
    wait_until(lambda: all(worker["state"] == "ready" for worker in server.workers(POINTER)))
    assert template(server)["pid"] != before
    assert {facts["imported"] for facts in of_each_worker(server).values()} == {template(server)["pid"]}


def reload(server):
    """The line of the log that says how it went."""
    server.said.write()
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    return server.wait_log(r" reload_end .*", mark, 30 * SLOWNESS)[0] + " "


def fields_of_children(server):
    """As process_fields(), of those that are not gone by now."""
    found = []
    for pid in children_of(server.process.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(process_fields(pid))
    return found


def group_count(server, group):
    return sum(int(fields[2]) == group for fields in fields_of_children(server))


def is_all_gone(server, pids):
    return not any(fields[0] == "Z" for fields in fields_of_children(server)) and not any(
        process_exists(pid) for pid in pids)


@pytest.mark.parametrize("workers", ["0-2", "2"])
def test_the_template_of_a_pipeline_that_is_removed_ends_with_it(begin, file, workers):
    file.say(EDITION, preload="import", workers=workers, idle_timeout="100ms")
    server = begin()
    wait_until(lambda: template(server, EDITION)["state"] == "ready")
    wait_until(lambda: len(server.workers(EDITION)) == int(workers[0]))
    gone = [template(server, EDITION)["pid"], *(worker["pid"] for worker in server.workers(EDITION) if worker["pid"])]
    del file.pipelines[EDITION]
    assert " removed=1 " in reload(server)
    wait_until(lambda: is_all_gone(server, gone), what="the end of all")
    assert edition_of(server, OTHER) == [1]


def test_a_copy_that_nobody_was_told_of_ends_with_a_pipeline_that_is_removed(begin, file):
    file.say(POINTER, f"{MODULE}:graph", preload="import", workers=1, env="DOES=hang_after_copy")
    server = begin("--python", "/usr/bin/python3", wait=False).wait_listening()
    wait_until(lambda: server.workers(POINTER)[0]["state"] == "spawning")
    group = template(server)["pid"]
    wait_until(lambda: group_count(server, group) == 2)
    del file.pipelines[POINTER]
    file.write()
    server.signal(signal.SIGHUP)
    wait_until(lambda: is_all_gone(server, [group]) and group_count(server, group) == 0, what="the end of all")


def test_a_template_makes_room_for_the_one_that_is_to_follow(begin, file):
    file.say(EDITION, preload="import", workers=1, reload_after="true")
    server = begin()
    before = template(server, EDITION)["pid"]
    file.publish(2)
    assert " replaced=1 " in reload(server)
    assert edition_of(server) == [2]
    assert template(server, EDITION)["pid"] != before and not process_exists(before)


def test_a_template_that_made_room_is_back_where_the_next_one_fails(begin, file):
    file.say(EDITION, preload="import", workers=1, reload_after="true")
    server = begin()
    file.publish(2, "-DBROKEN")
    assert " failed=1" in reload(server)
    file.publish(1)
    wait_until(lambda: template(server, EDITION)["state"] == "ready")
    wait_until(lambda: server.get("/readyz").status == 200)


# ---- what cannot be copied ---------------------------------------------------------------------------


@pytest.mark.parametrize("does, reason", [
    ("start_thread", "it has 2 threads"),
    ("start_process", r"it has started a process: \d+"),
    ("open_socket", r"it has opened socket:\[\d+\]"),
    ("open_device", "it has opened /dev/(tty0|ptmx|pts/ptmx)"),
    ("write_file", "it has opened .*/written"),
    ("map_memory", "it has memory that its copies would write together: .*"),
    ("ask_driver", r"it has asked a driver for devices: .*/libcuda\.so\.1"),
])
def test_what_cannot_be_copied_is_not_and_workers_begin_by_themselves(start, tmp_path, does, reason):
    driver = compile_c(os.path.join(HERE, "fakes", "cuda.c"), str(tmp_path / "libcuda.so.1"), "-shared", "-fPIC")
    server = serve(start, "--env", f"TMPDIR={tmp_path}", "--env", f"DRIVER={driver}", does=does)
    server.wait_log(f' template_refused pipeline={POINTER} reason="{reason}"')
    assert re.fullmatch(reason, template(server)["reason"])
    assert (template(server)["state"], template(server)["pid"], template(server)["copies"]) == ("refused", None, 0)
    facts = ask(server, "facts")
    assert facts["imported"] == facts["started"] == facts["pid"]
    assert not server.log_since(0, " worker_exit ")


@pytest.mark.parametrize("option, value, reason", [
    ("--seccomp", "strict", "no process may make another one"),
])
def test_confinement_that_denies_copies_is_said_and_workers_begin_by_themselves(start, option, value, reason):
    server = serve(start, option, value)
    server.wait_log(f" template_refused .*{reason}")
    assert template(server)["state"] == "refused" and reason in template(server)["reason"]
    assert ask(server, "facts")["pid"]


def test_workers_with_folders_of_their_own_are_no_copies(start, tmp_path):
    assert template(serve(start, "--files", str(tmp_path / "files")))["copies"] == 2
    restricted = serve(start, "--files", str(tmp_path / "other"), "--allow-read", os.path.dirname(MODULE))
    assert "a folder of its own (--files" in template(restricted)["reason"]
    assert len({facts["tmp"] for facts in of_each_worker(restricted).values()}) == 2


@needs_landlock(3)
def test_workers_with_folders_of_their_own_begin_by_themselves_and_may_use_them(start, tmp_path):
    server = serve(start, "--files", str(tmp_path / "files"), "--allow-read", os.path.dirname(MODULE))
    assert template(server)["state"] == "refused" and "a folder of its own" in template(server)["reason"]
    name, text = ask(server, "temporary")
    assert name.startswith(str(tmp_path / "files" / "scratch")) and text == "written"


def test_a_source_that_loads_in_workers_alone_is_loaded_by_each(start):
    server = serve(start, "--devices", "vulkan:x2", does="fail_in_template")
    server.wait_log(rf' template_exit pipeline={POINTER} reason=".*KeyError.*MILLRACE_DEVICE_INDEX')
    assert {facts["device"] for facts in of_each_worker(server).values()} == {"0", "1"}
    assert "MILLRACE_DEVICE_INDEX" in template(server)["reason"]


def test_a_source_that_asks_which_worker_it_is_loaded_in_is_loaded_by_each(start):
    server = serve(start, does="ask_for_index")
    server.wait_log(rf' template_exit pipeline={POINTER} reason=".*KeyError.*MILLRACE_WORKER_INDEX')
    assert all(facts["imported"] == pid for pid, facts in of_each_worker(server).items())


def test_a_template_that_does_not_load_five_times_is_not_tried_again(start):
    server = serve(start, "--devices", "vulkan:x2", "--quarantine-retry", "100ms", does="fail_in_template")
    server.wait_log(rf' template_refused pipeline={POINTER} reason=".*KeyError.*MILLRACE_DEVICE_INDEX', timeout_s=30 * SLOWNESS)
    assert len(server.log_since(0, " template_exit ")) == 5
    assert template(server)["state"] == "refused" and ask(server, "facts")["pid"]


def test_a_source_that_does_not_load_fails_as_without_a_template(start, pipelines):
    server = serve(start, does="fail", wait=False, besides=SERVED).wait_listening()
    server.wait_log(rf' pipeline_failed pipeline={POINTER} worker=\d type=startup_error text="ValueError.*no such weights')
    answer = server.run(POINTER, "facts", "")
    assert "no such weights" in wire.result_of(answer)["error"]["message"]
    c = serve_c(start, pipelines, "failing", wait=False, besides=SERVED).wait_listening()
    c.wait_log(rf' template_exit pipeline={C} reason="preload hook 1: no such weights"')
    c.wait_log(rf" pipeline_failed pipeline={C} worker=0 .*preload hook 1: no such weights")


def test_a_template_that_hangs_is_ended_in_time_and_workers_begin_by_themselves(start):
    server = serve(start, "--start-timeout", f"{3 * SLOWNESS}s", does="hang_in_template")
    # Nobody waits for the next one.
    assert len(server.log_since(0, " worker_kill .*worker=template .*not ready in time")) == 1
    assert ask(server, "facts")["imported"] == ask(server, "facts")["pid"]


# ---- what it may not do ------------------------------------------------------------------------------


def test_a_template_that_tells_of_a_copy_too_soon_is_ended(start, pipelines):
    server = serve_c(start, pipelines, "lying", wait=False, besides=SERVED).wait_listening()
    server.wait_log(r' worker_kill .*worker=template .*reason="it told of a copy"')
    server.wait_log(r' worker_kill .*worker=0 .*reason="it told of a copy"')
    assert server.is_alive()


@pytest.mark.parametrize("who", ["parent", "self", "nobody"])
def test_a_template_that_passes_off_another_process_as_its_copy_is_ended(start, who):
    server = serve(start, "--env", f"LIE={who}", "--env", "PLACE=0", does="lie", workers=1, wait=False).wait_listening()
    server.wait_log(r' worker_kill .*worker=template .*reason="it told of a process that is no copy of it"')
    wait_until(lambda: server.run(POINTER, "facts", "").status == 200, timeout_s=30 * SLOWNESS)
    assert server.is_alive()


def test_a_template_that_answers_for_somebody_else_is_ended(start):
    server = serve(start, "--env", "LIE=self", "--env", "PLACE=4000000", does="lie", workers=1, wait=False).wait_listening()
    server.wait_log(r' worker_kill .*worker=template .*reason="it told of a copy that nobody asked for"')
    wait_until(lambda: server.run(POINTER, "facts", "").status == 200, timeout_s=30 * SLOWNESS)


def test_copies_are_confined_as_workers_that_began_by_themselves(start):
    server = serve(start)
    said = of_each_worker(server)
    for pid in said:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = file.read()
        assert re.search(r"NoNewPrivs:\s1", status) and not re.search(r"Seccomp_filters:\s0", status)
    assert ask(server, "clone_sibling") == [-1, 1]  # EPERM


@needs_landlock(2)
def test_a_copy_cannot_look_into_another_one_or_the_template(start):
    server = serve(start)
    pids = [worker["pid"] for worker in server.workers(POINTER)]
    for pid in [*pids, template(server)["pid"]]:
        assert ask(server, "trace", str(pid))[0] == -1, pid


@needs_landlock(3)
def test_files_that_workers_may_not_read_copies_may_not(start, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    server = serve(start, "--allow-read", os.path.dirname(MODULE))
    assert template(server)["copies"] == 2
    answer = server.run(POINTER, "open_path", str(secret))
    assert "Permission denied" in wire.result_of(answer)["error"]["message"]
    assert ask(server, "open_path", MODULE) == "opened"


# ---- what is each one's own --------------------------------------------------------------------------


def test_each_copy_has_its_own_device_and_cores(start):
    server = serve(start, "--devices", "vulkan:x2")
    assert {facts["device"] for facts in of_each_worker(server).values()} == {"0", "1"}
    assert template(server)["copies"] == 2
    if os.cpu_count() >= 2:
        bound = serve(start, "--devices", "cpu:core")
        assert template(bound)["copies"] == os.cpu_count() or template(bound)["copies"] >= 2
        assert all(len(facts["cores"]) == 1 for facts in of_each_worker(bound).values())


def test_a_crash_of_a_copy_is_reported_as_that_of_any_worker(start, pipelines):
    server = serve(start, workers=1)
    line = server.lines(POINTER, "crash", "")[0]
    assert "SIGSEGV" in line["error"]["message"]
    server.wait_log(rf" worker_crash pipeline={POINTER} worker=0 .*preloaded.py")
    c = serve_c(start, pipelines, "honest")
    line = c.lines(C, "crash")[0]
    assert "SIGABRT" in line["error"]["message"] and "preloaded.so" in line["error"]["message"]


def test_while_a_template_loads_clients_are_told_how_far_it_is(start):
    server = start(f"{POINTER}={os.path.join(HERE, 'pipelines', 'progress.py')}:graph", wait=False, options=[
        "--python", "/usr/bin/python3", "--env", "SAYS=speak", "--preload", "import"]).wait_listening()
    wait_until(lambda: (server.pipeline(POINTER)["loading"] or {}).get("progress") == 0.62)
    assert pipeline_state(server, POINTER)["template"]["state"] in ("starting", "loaded")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who has users to give")
def test_copies_share_the_user_of_their_template_and_outlive_it(start, public):
    shutil.copy(MODULE, public)
    server = start(f"{POINTER}={public}/preloaded.py:graph", default_user=True, options=[
        "--python", "/usr/bin/python3", "--preload", "import", "--workers", "2"], environment={"PYTHONPATH": os.path.join(public, "python")})
    said = of_each_worker(server)
    uids = {facts["uid"] for facts in said.values()}
    assert len(uids) == 1 and 0 not in uids
    assert ask(server, "open_path", "/dev/stdout") == "opened"
    before = template(server)["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: is_ready_anew(server, before))
    assert set(of_each_worker(server)) == set(said)
