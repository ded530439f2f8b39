# SPDX-License-Identifier: MIT
"""Go: net/http, a goroutine for each stream, in one process."""

import glob
import os
import subprocess

import machine
from peer import PeerBase

HERE = os.path.dirname(os.path.abspath(__file__))


def built():
    """The program, compiled anew when its source has changed (the compiler looks)."""
    program = os.path.join(machine.TOP, "build/bench/peers/go.program")
    cache = os.path.join(machine.TOP, "build/bench/go-cache")
    subprocess.run(["go", "build", "-o", program, *sorted(glob.glob(os.path.join(HERE, "*.go")))], check=True,
                   env=dict(os.environ, GOCACHE=cache, GO111MODULE="off", CGO_ENABLED="0"))
    return program


class Peer(PeerBase):
    key = "go"
    title = "Go, in process"
    about = "net/http, a goroutine for each stream; lines gathered to 16 KiB unless it must wait"
    needs = ("go",)
    mode = "inside"

    def version(self):
        return subprocess.run(["go", "version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[2]

    def commands(self, setup):
        return [[built(), self.mode, f"127.0.0.1:{setup.port}"]]
