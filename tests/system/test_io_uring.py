# SPDX-License-Identifier: MIT
"""test_io_uring.py - a kernel or a container that refuses io_uring: one line that names cause and remedy, and
an exit code of its own.
"""

import ctypes
import errno
import os
import struct
import subprocess

import pytest

from server import MILLRACE, example

EXIT_CODE_IO_URING = 5
SYS_IO_URING_SETUP = 425  # the same number on every architecture

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000
BPF_LOAD_NUMBER = 0x20  # BPF_LD | BPF_W | BPF_ABS, at offset 0: the number of the call
BPF_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
BPF_RETURN = 0x06


def refuse_io_uring(error):
    """What a container's seccomp profile does, in the child, before it executes the server."""
    steps = [
        (BPF_LOAD_NUMBER, 0, 0, 0),
        (BPF_JUMP_EQUAL, 0, 1, SYS_IO_URING_SETUP),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | error),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    filters = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(filters, len(filters))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0


@pytest.mark.parametrize(
    "error, cause, remedy",
    [
        (errno.EPERM, "seccomp profile", "allow io_uring_setup, io_uring_enter and io_uring_register"),
        (errno.ENOSYS, "lacks the io_uring features", "Linux 6.1 or later"),
        (errno.ENOMEM, "not enough memory for io_uring", "locked-memory limit"),
    ],
)
def test_a_refused_io_uring_is_one_line_with_cause_and_remedy(tmp_path, error, cause, remedy):
    result = subprocess.run(
        [MILLRACE, "serve", example("words.so"), "--listen", "127.0.0.1:0"],
        preexec_fn=lambda: refuse_io_uring(error),
        env=dict(os.environ, RUNTIME_DIRECTORY=str(tmp_path)),  # another server may have the usual control socket
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == EXIT_CODE_IO_URING, result
    assert result.stdout == ""
    line, = result.stderr.splitlines()
    assert line.startswith("millrace: ")
    assert cause in line and remedy in line
