# SPDX-License-Identifier: MIT
"""Node.js: its own http module, a process for each core."""

import os
import subprocess

from peer import PeerBase

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer(PeerBase):
    key = "node"
    title = "Node.js"
    about = "its http module, cluster with 2 processes; lines gathered to 16 KiB unless it must wait"
    needs = ("node",)

    def version(self):
        return "Node.js " + subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True,
                                           check=True).stdout.strip()

    def commands(self, setup):
        return [["node", os.path.join(HERE, "server.js"), str(setup.port)]]
