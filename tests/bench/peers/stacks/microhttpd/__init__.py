# SPDX-License-Identifier: MIT
"""libmicrohttpd: C, a thread for each core, answers that fill the library's buffers."""

import os
import subprocess

import machine
from peer import PeerBase

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.c")
HEADER = "/usr/include/microhttpd.h"


class Peer(PeerBase):
    key = "microhttpd"
    title = "libmicrohttpd"
    about = "C; 2 threads with epoll; fills buffers of 16 KiB, suspends connections that must wait"
    needs = ("gcc",)

    def missing(self):
        return super().missing() or (None if os.path.exists(HEADER) else "not installed: libmicrohttpd-dev")

    def version(self):
        said = subprocess.run(["pkg-config", "--modversion", "libmicrohttpd"], stdout=subprocess.PIPE, text=True, check=True)
        return "libmicrohttpd " + said.stdout.strip()

    def commands(self, setup):
        program = os.path.join(machine.TOP, "build/bench/peers/microhttpd.program")
        os.makedirs(os.path.dirname(program), exist_ok=True)
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", program, SOURCE, "-lmicrohttpd",
                        "-lcjson", "-lpthread"], check=True)
        return [[program, str(setup.port)]]
