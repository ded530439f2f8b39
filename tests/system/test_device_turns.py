# SPDX-License-Identifier: MIT
"""Models that take turns on a device, together with templates, warm-ups and reloads; and what that costs a server."""

import concurrent.futures
import contextlib
import json
import os
import random
import signal
import time

import pytest

import operator_socket
from server import SLOWNESS, wait_until
from test_device_memory import (  # pylint: disable=unused-import
    MIB, NODE, RUNS, TIMEOUT_S, gpu, has_run, host, later, model, pid_of, run, swaps, wait_waiting)

# pylint: disable=redefined-outer-name


def passes(server, seconds):
    """How many passes the loop made in that time."""
    before = server.metric("millrace_loop_pass_seconds_count")
    time.sleep(seconds)
    return server.metric("millrace_loop_pass_seconds_count") - before


# ---- what it costs ---------------------------------------------------------------------------------


def test_a_worker_that_lacks_memory_is_not_tried_again_and_again(host):
    server = host.serve([3000, 512], *NODE, "--workers", "0-1")
    assert has_run(run(server, 1))
    assert "no device for the worker" in run(server, 0)["error"]["message"]
    assert passes(server, 2) < 50


def test_a_worker_that_waits_for_room_is_looked_at_now_and_then(host):
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "1h", "--queue-timeout", "1m")
    assert has_run(run(server, 0))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        other = later(pool, server, 1)
        wait_waiting(server, 1)
        assert passes(server, 2) < 50
        os.kill(server.workers(model(0))[0]["pid"], signal.SIGKILL)
        assert has_run(other.result(TIMEOUT_S))


def test_the_room_of_one_that_is_always_there_is_not_given_away_while_it_restarts(host):
    server = host.serve([1500, 1500], *NODE, "--workers", f"{model(0)}=1", "--workers", f"{model(1)}=0-1",
                        more=("--env", "HOSTED_START_MS=300"))
    assert "no device for the worker" in run(server, 1)["error"]["message"]
    for _ in range(3):
        pid = server.workers(model(0))[0]["pid"]
        mark = server.log_mark()
        os.kill(pid, signal.SIGKILL)
        server.wait_worker(model(0), 0, pid, since=mark)
    assert not server.log_since(0, f" worker_ready pipeline={model(1)} ")


# ---- with templates and warm-ups -------------------------------------------------------------------


@pytest.mark.bounded(120)
@pytest.mark.parametrize("how", [["--preload", "import"], ["--warmup", '[{"type": "integer", "value": 20}]'],
                                 ["--preload", "import", "--warmup", '[{"type": "integer", "value": 20}]']])
def test_models_take_turns_that_are_copies_or_warm_up_first(host, how):
    server = host.serve([1024, 1024, 1024], *NODE, *how, "--workers", "0-1", "--device-hold", "20ms", "--queue-timeout", "1m")
    chance = random.Random(5)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: run(server, number, 1), [chance.randrange(3) for _ in range(RUNS // 10)]))
    assert all(map(has_run, results)), [result for result in results if not has_run(result)][:3]
    assert sum(swaps(server).values()) > 3
    for number in range(3):
        template = operator_socket.pipeline_state(server, model(number))["template"]
        assert template is None if "--preload" not in how else template["copies"] >= 1, template
    assert not server.log_since(0, " device_room_wait .*worker=template")


def wait_state(server, number, state):
    wait_until(lambda: [worker["state"] for worker in server.workers(model(number))] == [state], TIMEOUT_S)


LONG = ["--warmup", f'{model(0)}=[{{"type": "integer", "value": 3600000}}]']


def test_a_model_that_warms_up_does_not_go_for_others_and_its_memory_is_kept(host):
    server = host.serve([2048, 2048], *NODE, *LONG, "--workers", "0-1", "--device-hold", "0", "--queue-timeout", "1s",
                        wait=False).wait_listening()
    wait_state(server, 0, "warming")
    device = [one for one in operator_socket.state(server)["devices"] if one["index"] == 1][0]
    assert device["memory_reserved_bytes"] == 2048 * MIB
    error = run(server, 1)["error"]
    assert error["type"] == "pipeline_loading" and f"which is held by {model(0)} (" in error["message"]
    wait_state(server, 0, "warming")
    os.kill(server.workers(model(0))[0]["pid"], signal.SIGKILL)
    wait_until(lambda: has_run(run(server, 1)), TIMEOUT_S)


def test_a_worker_that_warms_up_goes_at_once_when_it_is_not_wanted(host):
    server = host.serve([512], *NODE, *LONG, "--workers", "0-2", "--workers-per-device", "2", wait=False).wait_listening()
    wait_state(server, 0, "warming")
    pid = server.workers(model(0))[0]["pid"]
    server.signal(signal.SIGUSR2)
    server.wait_log(" renewal_begin ")
    operator_socket.tell(server, "scale", pipeline=model(0), workers={"min": 0, "max": 1})
    operator_socket.tell(server, "scale", pipeline=model(0), workers={"min": 2, "max": 2})
    wait_until(lambda: [worker["state"] for worker in server.workers(model(0))] == ["warming", "warming"], TIMEOUT_S)
    mark = server.log_mark()
    operator_socket.tell(server, "scale", pipeline=model(0), workers={"min": 1, "max": 1})
    server.wait_log(r' worker_kill .*worker=1 .*reason="the pipeline has fewer workers"', since=mark)
    wait_state(server, 0, "warming")
    assert server.workers(model(0))[0]["pid"] == pid


# ---- what is really free ---------------------------------------------------------------------------


def test_who_waits_for_what_others_use_keeps_nobody_else_waiting(gpu):
    gpu.put("free", "6000")
    server = gpu.serve([4096, 8192], "--queue-timeout", "1m")
    pid = pid_of(run(server, 0))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        large = later(pool, server, 1)
        wait_waiting(server, 1)
        with contextlib.suppress(ProcessLookupError):  # it may have gone for the large one
            os.kill(int(pid), signal.SIGKILL)
        server.wait_log(f" worker_exit pipeline={model(0)} ")
        small = later(pool, server, 0)
        assert has_run(small.result(20 * SLOWNESS))
        words = "it waits for 8.0 GiB of cuda device 0, of which others use too much ("
        wait_until(lambda: words in server.run(model(1), "x" * 200000).body.decode(), TIMEOUT_S)
        gpu.put("free", "9216")
        assert has_run(large.result(TIMEOUT_S))


def test_nobody_goes_in_vain_for_one_that_lacks_what_others_use(gpu):
    gpu.put("free", "6000")
    server = gpu.serve([4096, 8192], "--queue-timeout", "1m")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        large = later(pool, server, 1)
        wait_waiting(server, 1)
        for _ in range(10):
            assert has_run(run(server, 0))
            time.sleep(0.1)
        count = swaps(server)[model(0)]
        gpu.put("free", "9216")
        assert has_run(large.result(TIMEOUT_S))
    assert count <= 1, count


def test_a_model_that_takes_most_of_a_device_is_loaded_again_after_that_was_learned(gpu):
    server = gpu.serve([9000, 9000], "--queue-timeout", "20s", said="auto")
    for number in (0, 1):
        assert has_run(run(server, number))
        server.wait_log(f" device_memory_learned pipeline={model(number)} bytes={9000 * MIB} ", timeout_s=TIMEOUT_S)
    for number in (0, 1):
        result = run(server, number)
        assert has_run(result), result


# ---- replacing workers -----------------------------------------------------------------------------


def test_where_there_is_no_room_beside_them_workers_are_renewed_one_after_the_other(host):
    server = host.serve([900], *NODE, "--workers", "2", "--workers-per-device", "2", more=("--env", "HOSTED_START_MS=200"))
    operator_socket.tell(server, "restart")
    server.wait_log(" renewal_end replaced=2 ")
    events = [line.split()[2] for line in server.log_since(0, " (renewal_begin|worker_retire|worker_ready) ")]
    assert events[events.index("renewal_begin") + 1:] == ["worker_retire", "worker_ready"] * 2


def test_where_what_follows_does_not_start_no_more_workers_are_renewed(host):
    server = host.serve([900], *NODE, "--workers", "2", "--workers-per-device", "2",
                        more=("--env", f"HOSTED_DIES={host.folder}/dies"))
    (host.folder / "dies").touch()
    operator_socket.tell(server, "restart")
    server.wait_log(" renewal_failed ")
    assert len(server.log_since(0, " worker_retire ")) == 1
    assert has_run(run(server, 0))
    (host.folder / "dies").unlink()
    wait_until(lambda: [worker["state"] for worker in server.workers(model(0))] == ["ready", "ready"], TIMEOUT_S)


def test_a_reload_is_over_with_as_many_workers_as_find_room_beside_the_former_ones(host):
    path = host.folder / "millrace.yaml"

    def say(value):
        path.write_text(json.dumps({"pipelines": {model(0): {
            "source": f"{host.hosted}:hosted", "devices": "cpu:1", "device-unbound": True, "workers": "0-2",
            "workers-per-device": 4, "device-memory": "600m",
            "env": [f"HOSTED_FOLDER={host.folder}/models", "HOSTED_MIB_MAX=2048", f"VALUE={value}"]}}}))

    say("one")
    server = host.start(options=["--config", str(path)], environment={"HWLOC_XMLFILE": str(host.folder / "machine.xml")})
    operator_socket.tell(server, "scale", pipeline=model(0), workers={"min": 2, "max": 2})
    wait_until(lambda: [worker["state"] for worker in server.workers(model(0))] == ["ready", "ready"], TIMEOUT_S)
    before = {worker["pid"] for worker in server.workers(model(0))}
    operator_socket.tell(server, "scale", pipeline=model(0), workers={"min": 0, "max": 2})
    say("other")
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end .*replaced=1 ")
    wait_until(lambda: int(pid_of(run(server, 0))) not in before, TIMEOUT_S)
    assert not server.log_since(0, " worker_kill ")
