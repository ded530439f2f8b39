# SPDX-License-Identifier: MIT
"""Warm-ups that go wrong, in copies of templates and on devices that are lost."""

import os
import signal

import pytest

import operator_socket
import wire
from confined import needs_python
from server import SLOWNESS, wait_until
from test_device_health import ONE, TIMEOUT_S, Machine, libraries  # pylint: disable=unused-import
from test_warm_up import WARM, before, start_python, texts

pytestmark = needs_python


def wait_warming(server, pointer=WARM):
    wait_until(lambda: [worker["state"] for worker in server.workers(pointer)] == ["warming"], timeout_s=20 * SLOWNESS)


@pytest.mark.parametrize("preload", ["import", "startup"])
def test_a_copy_is_warmed_up_and_its_template_is_not(start, preload):
    server = start_python(start, "warm", "--preload", preload, "--workers", "2")
    assert all(before(server) >= 1 for _ in range(6))
    assert len(server.log_since(0, ' text="a run with warm"')) == 2
    template = operator_socket.pipeline_state(server, WARM)["template"]
    assert (template["state"], template["copies"]) == ("ready", 2)
    os.kill(server.workers(WARM)[0]["pid"], signal.SIGKILL)
    wait_until(lambda: operator_socket.pipeline_state(server, WARM)["template"]["copies"] == 3, timeout_s=20 * SLOWNESS)
    assert all(before(server) >= 1 for _ in range(6))


def test_a_copy_whose_warm_up_fails_is_no_failure_of_the_template(start):
    server = start_python(start, "fail", "--preload", "import", wait=False).wait_listening()
    server.wait_log(" pipeline_failed .*same_as_before=1 ", timeout_s=20 * SLOWNESS)
    assert operator_socket.pipeline_state(server, WARM)["template"]["state"] == "ready"
    assert "the warm-up failed: " in wire.result_of(server.run(WARM, "client"))["error"]["message"]


@pytest.mark.parametrize("word", ["die", "leave"])
def test_one_that_ends_its_process_is_a_start_that_fails(start, word):
    server = start_python(start, word, wait=False).wait_listening()
    server.wait_log(r" worker_exit .*same_as_before=[1-9]", timeout_s=20 * SLOWNESS)
    error = wire.result_of(server.run(WARM, "client"))["error"]
    assert error["type"] in ("startup_error", "pipeline_error") and "the worker process " in error["message"], error
    assert not server.log_since(0, " worker_ready ")


def test_what_it_prints_and_how_much_it_yields_is_no_matter(start):
    server = start_python(start, "much")
    assert before(server) == 1


def test_a_device_that_is_lost_meanwhile_ends_it(tmp_path, libraries, start):  # pylint: disable=redefined-outer-name
    machine = Machine(tmp_path, libraries, start)
    server = machine.serve("--warmup", texts("hang"), gpus=1, wait=False).wait_listening()
    wait_warming(server, ONE)
    pid = server.workers(ONE)[0]["pid"]
    machine.report(0, 31)  # a process's fault: those that start begin again
    server.wait_log(f" worker_kill .*pid={pid} .*its device reported", timeout_s=TIMEOUT_S)
    wait_until(lambda: [worker["state"] for worker in server.workers(ONE)] == ["warming"]
               and server.workers(ONE)[0]["pid"] != pid, TIMEOUT_S)
    pid = server.workers(ONE)[0]["pid"]
    machine.report(0, 79)
    server.wait_log(f" worker_kill .*pid={pid} .*its device is lost", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("what", ["cuda_error", "cuda_oom"])
@pytest.mark.parametrize("policy", ["keep", "probe", "quarantine"])
def test_an_error_of_its_device_is_dealt_with_as_after_a_run(tmp_path, libraries, start, what, policy):  # pylint: disable=redefined-outer-name
    machine = Machine(tmp_path, libraries, start)
    server = machine.serve("--warmup", texts(what), f"--on-{what.replace('_', '-')}", policy, gpus=1, wait=False).wait_listening()
    wait_until(lambda: len(server.log_since(0, f" worker_start pipeline={ONE} ")) >= 2, TIMEOUT_S)
    assert bool(machine.tried()) == (policy != "keep")
    assert bool(server.log_since(0, " device_lost ")) == (policy == "quarantine")
