# SPDX-License-Identifier: MIT
"""MPS, played by a script: where it is allowed, it ends a worker's work before the worker is killed, if it can."""

import os
import re

import pytest

import wire
from confined import needs_python
from server import SLOWNESS, wait_until
from test_device_health import ONE, Machine, libraries  # pylint: disable=unused-import

pytestmark = needs_python

# Its client is the worker whose number lies in "client". What it is told goes to "told", and whether that worker lives.
CONTROL = r"""#!/bin/sh
read -r line
client=$(cat "$FOLDER/client" 2>/dev/null)
if kill -0 "$client" 2>/dev/null; then lives=lives; else lives=dead; fi
echo "$line $lives" >> "$FOLDER/told"
case $line in
get_server_list) echo 4711;;
"get_client_list 4711") echo "$client";;
terminate_client*) %s;;
*) exit 1;;
esac
"""
BOUND_S = 2.0


@pytest.fixture
def machine(tmp_path, libraries, start):  # pylint: disable=redefined-outer-name
    return Machine(tmp_path, libraries, start)


def serve(machine, at_the_end, *options):  # pylint: disable=redefined-outer-name
    folder = machine.folder
    (folder / "bin").mkdir()
    script = folder / "bin/nvidia-cuda-mps-control"
    script.write_text((CONTROL % at_the_end).replace("$FOLDER", str(folder)))
    script.chmod(0o755)
    (folder / "control").touch()
    server = machine.serve("--run-timeout", "300ms", "--cancel-grace", "200ms", "--env", f"CUDA_MPS_PIPE_DIRECTORY={folder}",
                           *options, gpus=1, path=f"{folder}/bin:{os.environ['PATH']}")
    pid = server.workers(ONE)[0]["pid"]
    (folder / "client").write_text(str(pid))
    return server, pid


def told(machine):  # pylint: disable=redefined-outer-name
    path = machine.folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def killed_s(server, pid):
    """How long it took from the word that it is killed to its end."""
    def at(pattern):
        return float(server.wait_log(rf"T\d\d:\d\d:(\d\d\.\d+)Z .*{pattern}", timeout_s=20 * SLOWNESS)[1])

    return (at(f" worker_exit pipeline={ONE} ") - at(f" worker_kill .*pid={pid} ")) % 60


def test_mps_ends_the_work_of_a_worker_before_that_is_killed(machine):
    server, pid = serve(machine, "sleep 0.3", "--allow-mps")
    assert wire.result_of(server.run(ONE, "hang"))["error"]["type"] == "timeout"
    server.wait_log(f" info mps_terminate pipeline={ONE} worker=0 pid={pid} result=ended", timeout_s=20 * SLOWNESS)
    server.wait_worker(ONE, 0, pid)
    assert told(machine) == ["get_server_list lives", "get_client_list 4711 lives", f"terminate_client 4711 {pid} lives"]
    assert 0.3 <= killed_s(server, pid)
    server.wait_log(f" worker_hung .*pid={pid} ")  # it is asked where after that


def test_mps_that_hangs_is_waited_for_two_seconds_while_all_else_goes_on(machine):
    server, pid = serve(machine, "exec sleep 60", "--allow-mps")
    server.run(ONE, "hang")
    wait_until(lambda: len(told(machine)) == 3, timeout_s=20 * SLOWNESS)
    assert server.get("/metrics").status == 200
    assert not server.log_since(0, " mps_terminate ")
    server.wait_log(f" warning mps_terminate .*pid={pid} result=timeout", timeout_s=20 * SLOWNESS)
    server.wait_worker(ONE, 0, pid)
    assert BOUND_S <= killed_s(server, pid) < BOUND_S + 1.5 * SLOWNESS


@pytest.mark.parametrize("at_the_end, client, result", [("exit 1", None, "no_control"), ("true", "1", "no_client")])
def test_what_mps_does_not_do_is_done_without_it(machine, at_the_end, client, result):
    server, pid = serve(machine, at_the_end, "--allow-mps")
    if client:
        (machine.folder / "client").write_text(client)
    server.run(ONE, "hang")
    server.wait_log(f" warning mps_terminate .*pid={pid} result={result}", timeout_s=20 * SLOWNESS)
    server.wait_worker(ONE, 0, pid)
    assert len(told(machine)) == (2 if client else 3)


def test_where_mps_is_off_nobody_is_asked(machine):
    server, pid = serve(machine, "true", "--allow-mps")
    (machine.folder / "control").unlink()
    server.run(ONE, "hang")
    server.wait_worker(ONE, 0, pid)
    assert told(machine) == [] and not server.log_since(0, " mps_terminate ")
    assert re.search(" worker_kill ", "\n".join(server.log))
