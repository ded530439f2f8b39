# SPDX-License-Identifier: MIT
"""millrace with Python workers: beside the peers in Python, the same program as with C."""

import client
import machine
import servers
from peer import PeerBase


class Peer(PeerBase):
    key = "millrace_python"
    title = "millrace, Python workers"
    is_isolated = True
    about = "2 workers; a generator that yields each value, an asynchronous one where it must wait; no gathering in its code"
    paths = {"own": servers.Server.path}

    def version(self):
        return f"{(machine.output(client.MILLRACE, '--version') or '').split(',')[0]}, {machine.output(servers.PYTHON, '-V')}"

    def commands(self, setup):
        pipeline = f"bench/lines:v1={servers.LINES_PYTHON}:{'paced' if setup.scenario.is_paced else 'plain'}"
        return [[client.MILLRACE, "serve", pipeline, "--listen", f"127.0.0.1:{setup.port}", "--log-level", "warning",
                 "--python", servers.PYTHON, *machine.AS_SERVER, "--workers", "2", "--concurrency", str(setup.scenario.streams)]]
