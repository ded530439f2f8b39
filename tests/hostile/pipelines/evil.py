# SPDX-License-Identifier: MIT
"""evil - a pipeline that attacks whatever it runs beside, in the way that its input names.

Input: "ATTACK TARGET"; answers like those of evil.c. These are the ways that a line of ordinary Python has,
and whatever libc has, by ctypes.
"""

import ctypes
import errno
import os
import resource
import signal
import socket

from pipeline import Pipeline, Variable, pipe

LIBC = ctypes.CDLL(None, use_errno=True)
MPTCP = 262


def limit_cpu(pid):
    resource.prlimit(pid, resource.RLIMIT_CPU, resource.prlimit(pid, resource.RLIMIT_CPU))


def limit_by_libc(pid):
    limit = (ctypes.c_ulong * 2)(2 ** 64 - 1, 2 ** 64 - 1)
    if LIBC.prlimit(pid, resource.RLIMIT_CPU, ctypes.byref(limit), None) == -1:
        raise OSError(ctypes.get_errno(), "prlimit")


def nice(pid):
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))


def affinity(pid):
    os.sched_setaffinity(pid, os.sched_getaffinity(pid))


def scheduler(pid):
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def kill(pid):
    os.kill(pid or os.getpid(), 0)


def pidfd(pid):
    signal.pidfd_send_signal(os.pidfd_open(pid or os.getpid()), 0)


def memory(pid):
    os.close(os.open(f"/proc/{pid or 'self'}/mem", os.O_RDWR))


def oom(pid):
    os.close(os.open(f"/proc/{pid or 'self'}/oom_score_adj", os.O_WRONLY))


def environment(pid):
    os.close(os.open(f"/proc/{pid or 'self'}/environ", os.O_RDONLY))


def mptcp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP) as it:
        it.connect(("127.0.0.1", port))


def fastopen(port):
    with socket.socket() as it:
        it.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port))


def listen(_):
    with socket.socket() as it:
        it.listen()


ATTACKS = {"resource.prlimit": limit_cpu, "libc.prlimit": limit_by_libc, "os.setpriority": nice, "os.sched_setaffinity": affinity,
           "os.sched_setscheduler": scheduler, "os.kill": kill, "signal.pidfd_send_signal": pidfd, "/proc/mem": memory,
           "/proc/oom_score_adj": oom, "/proc/environ": environment, "mptcp": mptcp, "fastopen": fastopen, "listen": listen}


def number_of(word):
    named = {"dispatcher": os.getppid, "spawner": lambda: os.getsid(0), "self": lambda: 0, "own": os.getpid}
    return named[word]() if word in named else int(word)


@pipe
def attack(words: str) -> str:
    name, target = words.split()
    try:
        ATTACKS[name](number_of(target))
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok"


with Pipeline() as builder:
    what = Variable(str)
    builder.output(attack(what))

evil = builder.get_pipeline()
