# SPDX-License-Identifier: MIT
"""client - one measurement: `millrace bench` asks, and what the server spent meanwhile is looked up."""

import json
import os
import subprocess
import threading
from typing import NamedTuple

from machine import BUILD

TIMEOUT_S = 90
MILLRACE = os.path.join(BUILD, "millrace")


class Failed(Exception):
    """The answers were not what was asked for; says how."""


class Load(NamedTuple):
    """What a client asks for. Either so many requests, or as many as go into duration_s."""
    streams: int = 1
    lines: int = 1  # of each answer
    text_bytes: int = 64
    pace_ms: int = 0
    requests: int = 0  # 0: one for each stream, unless there is a duration
    duration_s: float = 0.0
    warmup_s: float = 0.0
    ramp_s: float = 0.0  # the streams begin spread over it
    stalled: int = 0  # of the streams, so many read nothing
    check: bool = True  # look into every line; gives ages, too

    @property
    def request_count(self):
        return self.requests or (0 if self.duration_s else self.streams)

    def body(self):
        """The request, the same for every server: the inputs of pipelines/lines.c."""
        return json.dumps({"inputs": [{"type": "integer", "value": value}
                                      for value in (self.lines, self.text_bytes, self.pace_ms)]})

    def options(self):
        words = ["--body", self.body(), "--connections", str(self.streams), "--requests", str(self.request_count),
                 "--lines", str(self.lines), "--slow", str(self.stalled),
                 "--ramp", milliseconds(self.ramp_s), "--warmup", milliseconds(self.warmup_s),
                 "--duration", milliseconds(self.duration_s or TIMEOUT_S)]
        return words + ["--check"] * self.check


def milliseconds(seconds):
    return f"{round(seconds * 1000)}ms"


def ask(port, load, path="/v4/runs/stream"):
    """Runs the client to its end; its figures."""
    done = subprocess.run([MILLRACE, "bench", "--url", f"http://127.0.0.1:{port}", "--path", path, "--json", "--quiet",
                           *load.options()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          timeout=2 * TIMEOUT_S)
    if not done.stdout:
        raise Failed(done.stderr.strip() or f"the client ended with {done.returncode}")
    figures = json.loads(done.stdout)
    bad = [f"{figures[name]} {name}" for name in ("failed", "truncated", "wrong", "refused") if figures[name]]
    expected = load.request_count - load.stalled
    if not load.duration_s and figures["complete"] != expected:
        bad.append(f"{figures['complete']} of {expected} complete")
    if bad:
        raise Failed(", ".join(bad))
    return figures


def measure(server, load, sample_after_s=None):
    """Rates, ages and what the server spent; with sample_after_s also its memory at that time."""
    memory = []
    timer = threading.Timer(sample_after_s or 0, lambda: memory.append(server.pss_bytes()))
    before = server.cpu_s()
    if sample_after_s is not None:
        timer.start()
    figures = ask(server.port, load, server.path)
    after = server.cpu_s()
    if sample_after_s is not None:
        timer.join()
    spent = {role: after[role] - before[role] for role in after}
    lines = figures["lines"] + figures["warmup_lines"]
    result = {
        "seconds": figures["seconds"],
        "lines": figures["lines"],
        "lines_per_s": figures["lines"] / figures["seconds"],
        "bytes_per_s": figures["bytes"] / figures["seconds"],
        "requests_per_s": figures["complete"] / figures["seconds"],
        "client_lines_per_cpu_s": figures["lines"] / figures["cpu_seconds"],
        "client_cpu_share": figures["cpu_seconds"] / figures["seconds"],
        "cpu_us_per_line": sum(spent.values()) / max(1, lines) * 1e6,
        "cpu_us_per_line_of": {role: seconds / max(1, lines) * 1e6 for role, seconds in spent.items()},
    }
    if figures["latency_ns"]["count"]:
        result.update({f"latency_{name}_us": figures["latency_ns"][name] / 1e3 for name in ("p50", "p99", "max")})
    if memory:
        result["pss_bytes"] = memory[0]
    return result
