# SPDX-License-Identifier: MIT
"""More models than a device has memory for: they take turns, and never more is kept for workers than there is."""

import concurrent.futures
import contextlib
import json
import os
import random
import signal
import subprocess
import time

import pytest

import operator_socket
import wire
from exposition import total
from server import MILLRACE, SLOWNESS, wait_until
from test_devices import machine

TIMEOUT_S = 30 * SLOWNESS
MIB = 1 << 20
RUNS = int(os.environ.get("RUNS", "2000"))
NODE = ("--devices", "cpu:1", "--device-unbound")  # of 2 GiB


class Host:
    """A machine with a NUMA node of 2 GiB, and models that count from outside how much of it they have."""

    def __init__(self, folder, hosted, start):
        self.folder, self.hosted, self.start = folder, hosted, start
        (folder / "machine.xml").write_text(machine({}))
        (folder / "models").mkdir()

    def serve(self, mib, *options, more=(), mib_max=2048, said="{}m", **others):
        """A server with a model for each size in MiB, which is said: me/m0:v1, me/m1:v1, ..."""
        pointers = [f"me/m{number}:v1" for number in range(len(mib))]
        for pointer, size in zip(pointers, mib):
            more = (*more, "--env", f"{pointer}=HOSTED_MIB={size}", "--device-memory", f"{pointer}={said.format(size)}")
        return self.start(*(f"{pointer}={self.hosted}:hosted" for pointer in pointers),
                          options=["--env", f"HOSTED_FOLDER={self.folder}/models", "--env", f"HOSTED_MIB_MAX={mib_max}",
                                   *more, *options],
                          **{"environment": {"HWLOC_XMLFILE": str(self.folder / "machine.xml")}, **others})

    def check(self):
        """Nobody came who was too much."""
        path = self.folder / "models" / "overcommitted"
        assert not path.exists(), path.read_text()


@pytest.fixture
def host(tmp_path, pipelines, start):
    made = Host(tmp_path, pipelines("hosted"), start)
    yield made
    made.check()


def model(number):
    return f"me/m{number}:v1"


def run(server, number, ms=0, **members):
    return wire.result_of(server.run(model(number), ms, **members))


def told(server, *arguments):
    """What a command says that asks this server."""
    result = subprocess.run([MILLRACE, *arguments, "--control", operator_socket.path_of(server)], capture_output=True, text=True,
                            timeout=TIMEOUT_S, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


def has_run(result):
    return result["state"] == "completed"


def swaps(server):
    families = server.metrics()
    return {label: int(total(families, "millrace_swaps", pipeline=label)) for label in
            {dict(labels)["pipeline"] for _, labels in families["millrace_swaps"].samples}}


@pytest.mark.bounded(120)
def test_three_models_with_room_for_two_take_turns_and_are_never_too_many(host):
    server = host.serve([1024, 1024, 1024], *NODE, "--workers", "0-1", "--device-hold", "100ms", "--queue-timeout", "1m",
                        more=("--env", "HOSTED_END_MS=30"))
    seed = int(os.environ.get("SEED", "20261130"))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    began_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: run(server, number, number), [chance.randrange(3) for _ in range(RUNS)]))
    took_s = time.monotonic() - began_s
    assert all(has_run(result) for result in results), [result for result in results if not has_run(result)][:3]
    count = sum(swaps(server).values())
    print(f"{RUNS} runs, {count} swaps in {took_s:.1f} s")
    assert 0 < count <= 2 * took_s / 0.1 + 3


# ---- who goes --------------------------------------------------------------------------------------


def later(pool, server, number, ms=0, **members):
    return pool.submit(run, server, number, ms, **members)


def pid_of(result):
    return result["outputs"][0]["value"]


def wait_waiting(server, number):
    wait_until(lambda: server.pipeline(model(number))["waiting"], TIMEOUT_S)
    return server.pipeline(model(number))["waiting"]


def test_one_with_runs_finishes_them_and_gets_no_more_until_the_one_that_waits_has_had_its_turn(host):
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "0")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = later(pool, server, 0, 1500)
        wait_until(lambda: server.pipeline(model(0))["workers"][:1] and server.pipeline(model(0))["workers"][0]["active"],
                   TIMEOUT_S)
        other = later(pool, server, 1)
        server.wait_log(f" device_swap pipeline={model(0)} for={model(1)} kind=cpu index=1 runs=1 ")
        second = later(pool, server, 0)
        results = [one.result(TIMEOUT_S) for one in (first, other, second)]
    assert all(map(has_run, results)), results
    assert pid_of(results[0]) != pid_of(results[2])
    ready = [line.split(" pipeline=")[1].split()[0] for line in server.log_since(0, " worker_ready ")]
    assert ready[-2:] == [model(1), model(0)] and swaps(server) == {model(0): 1, model(1): 1}


def test_who_waits_is_told_for_what_and_who_has_it(host):
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "0", "--queue-timeout", f"{model(1)}=1s")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = later(pool, server, 0, 4000)
        server.wait_log(f" worker_ready pipeline={model(0)} ")
        wait_until(lambda: server.pipeline(model(0))["workers"][0]["active"], TIMEOUT_S)
        other = later(pool, server, 1)
        waiting = wait_waiting(server, 1)
        assert "\n  waiting for 2.0G of cpu:1 (" in told(server, "ps")
        assert waiting["device"]["index"] == 1 and waiting["device"]["kind"] == "cpu"
        assert (waiting["bytes"], waiting["held_by"]) == (2048 * MIB, [model(0)])
        assert server.pipeline(model(1))["device_memory_bytes"] == 2048 * MIB
        pipeline = operator_socket.pipeline_state(server, model(1))
        assert pipeline["waiting"]["held_by"] == [model(0)] and pipeline["device_memory_bytes"] == 2048 * MIB
        server.wait_log(f" device_room_wait pipeline={model(1)} worker=0 kind=cpu index=1 bytes={2048 * MIB} ")
        error = other.result(TIMEOUT_S)["error"]
        assert error["type"] == "pipeline_loading"
        assert f"; the pipeline is being started: it waits for 2.0 GiB of cpu device 1, which is held by {model(0)} (" \
            in error["message"]
        device = [one for one in operator_socket.state(server)["devices"] if one["index"] == 1][0]
        assert device["memory_reserved_bytes"] == 2048 * MIB
        assert [one["reserved_bytes"] for one in device["workers"]] == [2048 * MIB]
        assert total(server.metrics(), "millrace_device_memory_reserved_bytes", kind="cpu", index="1") == 2048 * MIB
        assert f" {model(0)} 0 2.0G" in told(server, "devices")
        listed = json.loads(told(server, "devices", "--json"))["devices"]
        assert [one["memory_reserved_bytes"] for one in listed if one["kind"] == "cpu"] == [0, 2048 * MIB]
        assert has_run(first.result(TIMEOUT_S))


def test_a_run_that_may_not_wait_is_refused_with_the_reason_and_the_model_is_loaded_all_the_same(host):
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "0", "--queue", f"{model(1)}=0",
                        more=("--env", "HOSTED_START_MS=300"))
    assert has_run(run(server, 0))
    refusals = []

    def is_served():
        response = server.run(model(1), 0)
        if response.status != 503:
            return has_run(wire.result_of(response))
        refusals.append(wire.result_of(response)["error"]["message"])
        assert 1 <= int(response.header("retry-after")) <= 60
        return False

    wait_until(is_served, TIMEOUT_S)
    assert any("it waits for 2.0 GiB of cpu device 1" in message for message in refusals), refusals


def test_nobody_goes_before_the_hold_is_over(host):
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "1500ms")
    began_s = time.monotonic()
    assert has_run(run(server, 0)) and has_run(run(server, 1)) and has_run(run(server, 0))
    assert time.monotonic() - began_s >= 1.5
    assert swaps(server) == {model(0): 1, model(1): 1}


def wait_hold_end(server):
    """Nobody goes before it was there for as long as its start took."""
    server.wait_log(" worker_ready ")
    time.sleep(max(int(line.split(" ms=")[1]) for line in server.log_since(0, " worker_ready ")) / 1000 + 0.01)


def test_the_one_that_was_not_used_for_longest_goes(host):
    server = host.serve([1024, 1024, 1024], *NODE, "--workers", "0-1", "--device-hold", "0")
    for number in (0, 1, 0):
        wait_hold_end(server)
        assert has_run(run(server, number))
    before = swaps(server)
    wait_hold_end(server)
    assert has_run(run(server, 2))
    assert swaps(server) == {**before, model(1): before[model(1)] + 1}


def test_a_model_for_which_there_is_no_room_at_the_start_is_loaded_when_it_is_asked_for(host):
    server = host.serve([1024, 1024, 1024], *NODE, "--workers", "0-1", "--device-hold", "0")
    assert "failed" not in server.ready_line
    states = [server.pipeline(model(number))["state"] for number in range(3)]
    assert sorted(states) == ["idle", "ready", "ready"], states
    unknown = states.index("idle")
    assert server.pipeline(model(unknown))["input_variables"] is None
    large = wire.result_of(server.run(model(unknown), "x" * 200000))
    assert large["error"]["type"] == "pipeline_loading", large
    assert has_run(run(server, unknown))


def test_more_workers_of_a_model_take_only_what_nobody_waits_for(host):
    server = host.serve([512, 1024, 1024], *NODE, "--workers", "0-1", "--workers", f"{model(0)}=0-4",
                        "--workers-per-device", "4", "--device-hold", "0")
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        runs = [later(pool, server, 0, 200) for _ in range(30)]
        others = [later(pool, server, number % 2 + 1, 20) for number in range(8)]
        assert all(has_run(one.result(TIMEOUT_S)) for one in runs + others)


# ---- who stays -------------------------------------------------------------------------------------


def test_models_that_are_always_there_leave_too_little_for_another_one_and_that_is_said(host):
    server = host.serve([1500, 1500], *NODE, "--workers", "1")
    assert "1 of the pipelines failed" in server.ready_line
    error = run(server, 1)["error"]
    assert error["type"] == "pipeline_loading" and error["message"] == (
        "no device for the worker: it needs 1.5 GiB, and workers that always stay leave it too little of cpu device 1, "
        "which has 2.0 GiB")
    operator_socket.tell(server, "scale", pipeline=model(0), workers={"min": 0, "max": 1})
    wait_until(lambda: has_run(run(server, 1)), TIMEOUT_S)
    assert swaps(server)[model(0)] <= 1


def test_one_that_is_always_there_does_not_wait_for_one_that_nobody_has_asked_for(host):
    server = host.serve([2048, 2048], *NODE, "--workers", f"{model(0)}=0-1", "--workers", f"{model(1)}=1",
                        "--device-hold", "1h")
    assert server.pipeline(model(1))["state"] == "ready" and server.pipeline(model(0))["state"] == "idle"


def test_a_model_that_is_larger_than_its_device_lacks_one(host):
    server = host.serve([3000], *NODE, "--workers", "0-1")
    error = run(server, 0)["error"]
    assert error["type"] == "pipeline_loading" and error["message"] == (
        "no device for the worker: it needs 2.9 GiB, and cpu device 1, the largest, has 2.0 GiB")


def test_a_model_takes_the_device_on_which_there_is_room(host):
    server = host.serve([2048, 1024, 900], "--devices", "cpu", "--device-unbound", "--workers", "0-1", mib_max=3072)
    for _ in range(3):
        for number in (0, 1):
            assert has_run(run(server, number))
    devices = [server.pipeline(model(number))["devices"] for number in (0, 1)]
    assert [one[0]["index"] for one in devices] == [1, 0] and sum(swaps(server).values()) == 0


# ---- what goes wrong -------------------------------------------------------------------------------


def test_a_worker_that_dies_while_it_loads_gives_its_room_back(host):
    (host.folder / "dies").touch()
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "0",
                        more=("--env", f"{model(0)}=HOSTED_DIES={host.folder}/dies"), wait=False)
    server.wait_listening()
    server.wait_log(f" worker_exit pipeline={model(0)} ")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        others = [later(pool, server, 1, wait_for_resources=True) for _ in range(3)]
        assert all(has_run(one.result(TIMEOUT_S)) for one in others)
    (host.folder / "dies").unlink()
    wait_until(lambda: has_run(run(server, 0)), TIMEOUT_S)


@pytest.mark.bounded(120)
def test_whatever_dies_nobody_is_too_many_and_all_are_served_afterwards(host):
    server = host.serve([1024, 700, 700, 300, 1000], "--devices", "cpu", "--device-unbound", "--workers", "0-2",
                        "--workers-per-device", "2", "--device-hold", "20ms", "--queue-timeout", "1m", "--quarantine-after", "0",
                        "--quarantine-retry", "100ms", "--recycle-runs", "7", mib_max=3072)
    seed = int(os.environ.get("SEED", "7"))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    ends = []
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        runs = [later(pool, server, chance.randrange(5), chance.choice([0, 1, 5, 40])) for _ in range(RUNS // 4)]
        while not all(one.done() for one in runs):
            pids = [worker["pid"] for number in range(5) for worker in server.workers(model(number)) if worker["pid"] > 0]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(pids), signal.SIGKILL)
            time.sleep(0.05)
        ends = [one.result(TIMEOUT_S) for one in runs]
    failed = [end["error"]["type"] for end in ends if not has_run(end)]
    print(f"{len(ends)} runs, {len(failed)} lost, {sum(swaps(server).values())} swaps")
    assert set(failed) <= {"pipeline_error", "startup_error"} and len(failed) < len(ends) / 2
    for number in range(5):
        wait_until(lambda number=number: has_run(run(server, number)), TIMEOUT_S)


def test_a_server_stops_while_somebody_waits(host):
    server = host.serve([2048, 2048], *NODE, "--workers", "0-1", "--device-hold", "1m", "--stop-timeout", "5s")
    assert has_run(run(server, 0))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waits = later(pool, server, 1)
        wait_waiting(server, 1)
        server.stop()
        assert waits.result(TIMEOUT_S)["error"]["message"] == "the server is stopping"


class File:
    """A configuration file with one model on the NUMA node."""

    def __init__(self, host):
        self.host, self.path = host, host.folder / "millrace.yaml"

    def say(self, memory, workers="0-1", value=""):
        self.path.write_text(f"""
pipelines:
  {model(0)}:
    source: {self.host.hosted}:hosted
    devices: "cpu:1"
    workers: {workers}
    device-memory: {memory}
    device-unbound: true
    env: [HOSTED_FOLDER={self.host.folder}/models, HOSTED_MIB_MAX=4096, "VALUE={value}"]
""")

    def serve(self):
        return self.host.start(options=["--config", str(self.path)],
                               environment={"HWLOC_XMLFILE": str(self.host.folder / "machine.xml")})


def reload(server, pattern):
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(pattern, since=mark)


def test_another_size_is_of_the_workers_that_start_from_then_on(host):
    def reserved():
        return [one.get("reserved_bytes") for device in operator_socket.state(server)["devices"] for one in device["workers"]]

    file = File(host)
    file.say("1g")
    server = file.serve()
    before = pid_of(run(server, 0))
    file.say("1536m")
    reload(server, " reload_end .*changed=1 ")
    assert pid_of(run(server, 0)) == before and reserved() == [1024 * MIB]
    assert server.pipeline(model(0))["device_memory_bytes"] == 1536 * MIB
    os.kill(int(before), signal.SIGKILL)
    wait_until(lambda: reserved() == [1536 * MIB], TIMEOUT_S)


def test_a_reload_that_needs_both_at_once_where_there_is_no_room_fails_and_all_is_as_before(host):
    file = File(host)
    file.say("1500m", workers=1)
    server = file.serve()
    before = pid_of(run(server, 0))
    file.say("1500m", workers=1, value="other")
    reload(server, f" reload_failed pipeline={model(0)} .*workers that always stay leave it too little of cpu device 1")
    assert pid_of(run(server, 0)) == before


def test_a_reload_of_a_model_that_is_loaded_on_demand_needs_no_room_beside_it(host):
    file = File(host)
    file.say("1500m")
    server = file.serve()
    before = pid_of(run(server, 0))
    file.say("1500m", value="other")
    reload(server, " reload_end .*replaced=1 ")
    assert pid_of(run(server, 0)) != before


def test_where_there_is_no_room_beside_it_a_worker_goes_before_its_successor_comes(host):
    server = host.serve([1500], *NODE, "--workers", "1", "--recycle-runs", "1", "--recycle-overlap")
    assert len({pid_of(run(server, 0)) for _ in range(5)}) == 5


def test_where_there_is_no_room_beside_them_workers_are_renewed_in_their_place(host):
    server = host.serve([1500], *NODE, "--workers", "1")
    before = pid_of(run(server, 0))
    mark = server.log_mark()
    operator_socket.tell(server, "restart")
    server.wait_log(" renewal_end replaced=1 ", since=mark)
    wait_until(lambda: pid_of(run(server, 0)) != before, TIMEOUT_S)


@pytest.mark.parametrize("options, why", [
    (["--devices", "vulkan:x2", "--device-memory", "1g"],
     "me/m0:v1: --device-memory is of devices whose memory is known, and not of those that are counted by the words"),
    (["--devices", "cpu:core", "--device-memory", "1g"],
     "me/m0:v1: --device-memory is of devices whose memory is known, and not of cores"),
    (["--device-memory", "me/m0:v1=1g"], "--device-memory is of pipelines that have --devices, and it has none"),
    (["--devices", "cuda", "--device-memory", "much"], "--device-memory much is not a size like 12g (1m to 1024t), nor auto"),
])
def test_a_size_that_means_nothing_is_refused(host, options, why):
    result = subprocess.run([MILLRACE, "serve", f"{model(0)}={host.hosted}:hosted", *options], capture_output=True, text=True,
                            timeout=TIMEOUT_S, check=False)
    assert result.returncode == 2 and why in result.stderr, result


# ---- what is really free ---------------------------------------------------------------------------


class Gpu:
    """One GPU of 10 GiB that is not there, and models on it."""

    def __init__(self, host, library):
        self.host, self.library = host, library

    def put(self, name, text):
        whole = self.host.folder / f"{name}.new"
        whole.write_text(text)
        whole.rename(self.host.folder / name)

    def serve(self, mib, *options, processes=None, **more):
        variables = {**({"NVIDIA_FAKE_PROCESSES": processes} if processes else {}), "NVIDIA_FAKE_GPUS": "1", "NVIDIA_FAKE_STATE": str(self.host.folder), "LD_LIBRARY_PATH": self.library}
        return self.host.serve(mib, "--devices", "cuda", "--workers", "0-1", "--device-hold", "0", *options, mib_max=10240,
                               environment=variables, **more)


@pytest.fixture
def gpu(host, fakes):
    return Gpu(host, fakes("nvml"))


def test_models_that_fit_stay_and_are_looked_at_before_they_start(gpu):
    server = gpu.serve([4096, 4096])
    for _ in range(3):
        assert has_run(run(server, 0)) and has_run(run(server, 1))
    assert swaps(server) == {model(0): 0, model(1): 0}


def test_what_others_use_is_not_given_away(gpu):
    gpu.put("free", "6000")
    server = gpu.serve([4096, 4096])
    for number in (0, 1, 0, 1):
        assert has_run(run(server, number))
    assert sum(swaps(server).values()) >= 3
    gpu.put("free", "9000")
    for _ in range(3):
        assert has_run(run(server, 0)) and has_run(run(server, 1))
    before = swaps(server)
    for _ in range(3):
        assert has_run(run(server, 0)) and has_run(run(server, 1))
    assert swaps(server) == before


def test_who_waits_for_memory_that_others_use_is_told_so_and_served_when_it_is_free(gpu):
    gpu.put("free", "1000")
    server = gpu.serve([4096], "--queue-timeout", "1s")
    error = run(server, 0)["error"]
    assert error["type"] == "pipeline_loading"
    assert "it waits for 4.0 GiB of cuda device 0, of which others use too much" in error["message"]
    gpu.put("free", "9000")
    wait_until(lambda: has_run(run(server, 0)), TIMEOUT_S)


def test_what_a_model_uses_is_learned_and_then_others_fit_beside_it(gpu):
    server = gpu.serve([3000, 3000], said="auto")
    assert has_run(run(server, 0))
    server.wait_log(f" device_memory_learned pipeline={model(0)} bytes={3000 * MIB} reserved={3375 * MIB}")
    assert server.pipeline(model(0))["device_memory_bytes"] == 3000 * MIB
    assert has_run(run(server, 1))
    server.wait_log(f" device_memory_learned pipeline={model(1)} bytes={3000 * MIB} ")
    assert has_run(run(server, 0)) and has_run(run(server, 1))
    before = swaps(server)
    for _ in range(5):
        assert has_run(run(server, 0)) and has_run(run(server, 1))
    assert swaps(server) == before and sum(before.values()) <= 2


def test_what_the_driver_says_of_a_process_is_learned_before_what_became_used(gpu):
    server = gpu.serve([3000], said="auto", processes="500")
    assert has_run(run(server, 0))
    server.wait_log(f" device_memory_learned pipeline={model(0)} bytes={3500 * MIB} ")


def test_a_device_that_is_lost_while_a_model_loads_is_waited_for(gpu):
    server = gpu.serve([4096], "--queue-timeout", "1m", more=("--env", "HOSTED_START_MS=700"), wait=False)
    server.wait_listening()
    wait_until(lambda: os.listdir(gpu.host.folder / "models"), TIMEOUT_S)
    gpu.put("events", "0 79\n")
    server.wait_log(" device_lost kind=cuda index=0 ")
    wait_until(lambda: has_run(run(server, 0)), TIMEOUT_S)


@pytest.mark.bounded(120)
def test_models_on_a_gpu_take_turns_at_random_and_never_are_too_many(gpu):
    server = gpu.serve([4096, 4096, 4096], "--queue-timeout", "1m")
    chance = random.Random(4)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: run(server, number, 1), [chance.randrange(3) for _ in range(RUNS // 40)]))
    assert all(map(has_run, results)), [result for result in results if not has_run(result)][:3]
    print(f"{len(results)} runs, {sum(swaps(server).values())} swaps")
