# SPDX-License-Identifier: MIT
"""What is counted for a user and used up by one worker: the others wait, and lose nothing."""

import os
import signal

import wire
from confined import Confined, needs_python, needs_root
from server import wait_until

# Sends its own descriptor 0 through sockets that nobody reads, until the user has too many on their way.
SEND = """
import array, builtins, resource, socket
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
builtins.kept = []
answer = 0
try:
    while True:
        ends = socket.socketpair()
        builtins.kept.append(ends)
        for _ in range(8):
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 253))]
            ends[0].sendmsg([b'x'], rights, socket.MSG_DONTWAIT)
            answer += 253
except OSError as error:
    answer = "%d then %s" % (answer, error.errno)
"""
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
ETOOMANYREFS = 109
LARGE = "/" + "x" * 300_000


def made(start, public, *options):
    """A server of nobody, since root is not bound by what is counted."""
    return Confined(start, lambda name: os.path.join(public, f"{name}.so"), *options, command=AS_NOBODY,
                    environment={"PYTHONPATH": os.path.join(public, "python")}, default_user=True,
                    code=os.path.join(public, "confined.py"))


@needs_root
@needs_python
def test_a_worker_has_too_many_descriptors_on_their_way_before_the_server_has(start, public):
    confined = made(start, public)
    sent, error = confined.code(SEND).split(" then ")
    assert int(sent) > 253 and int(error) == ETOOMANYREFS
    assert confined.ask("file", LARGE, os.O_RDONLY) == "ENAMETOOLONG"
    pid, = [worker["pid"] for worker in confined.server.workers("me/limit:v1")]
    mark = confined.server.log_mark()
    os.kill(pid, signal.SIGKILL)
    confined.server.wait_worker("me/limit:v1", 0, pid, mark)
    assert not confined.server.log_since(mark, "worker_start_failed|offer_put_off")


@needs_root
@needs_python
def test_what_cannot_be_sent_for_that_reason_waits_and_costs_no_pipeline_its_good_name(start, public):
    """A worker that was allowed as many as the server itself."""
    most = os.sysconf("SC_OPEN_MAX")
    confined = made(start, public, "--worker-nofile", f"me/code:v1={most}", "--quarantine-after", "2",
                    "--quarantine-retry", "100ms")
    server = confined.server
    hoarder, = [worker["pid"] for worker in server.workers("me/code:v1")]
    assert confined.code(SEND).endswith(f" then {ETOOMANYREFS}")
    with server.stream("me/file:v1", LARGE, os.O_RDONLY) as stream:
        server.wait_log(" warning reader_put_off waiting=1 ")
        pid, = [worker["pid"] for worker in server.workers("me/limit:v1")]
        mark = server.log_mark()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(server.log_since(mark, "worker_start_failed pipeline=me/limit:v1")) > 4,
                   what="starts that fail")
        assert not server.log_since(mark, "quarantined")
        os.kill(hoarder, signal.SIGKILL)
        server.wait_worker("me/limit:v1", 0, pid, mark)
        assert [wire.output_of(line) for line in stream.all()] == ["ENAMETOOLONG"]
