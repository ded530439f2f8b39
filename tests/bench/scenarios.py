# SPDX-License-Identifier: MIT
"""scenarios - the work that is measured, and who does it."""

import contextlib
import os
import resource
import subprocess
import time
from typing import Callable, NamedTuple

import client
import counts
import processes
import rounds
from client import Load
from machine import BUILD
from rounds import Contestant
from servers import FastAPI, Millrace, Python, Reference

ENDLESS = 1_000_000_000
MEMORY_ROUND_COUNT = 3
IDLE_COUNT = 50_000
IDLE_TIMEOUT_S = 60
DESCRIPTORS_OF_OTHERS = 100  # of a server or a client, besides its connections


class Plan(NamedTuple):
    """How long everything takes."""
    rounds: int
    seconds: float  # of one measurement
    on_round: Callable


class Scenario(NamedTuple):
    name: str
    about: str
    run: Callable  # of a plan; what it returns is kept under the scenario's name


# ---- in turn with references --------------------------------------------------------------------------


def versus(load, *references):
    """millrace, and references that do the same work."""
    def run(plan):
        with contextlib.ExitStack() as stack:
            ours = stack.enter_context(Millrace("--concurrency", str(load.streams)))
            contestants = [Contestant("millrace", ours, load)]
            for mode in references:
                contestants.append(Contestant(mode, stack.enter_context(Reference(mode)), load))
            return in_turn(contestants, plan)
    return run


def in_turn(contestants, plan):
    return {"series": rounds.in_turn(contestants, plan.rounds, plan.seconds, plan.on_round)}


def with_delivered(run, lines_per_s):
    """Adds what share of the lines that were due has come, in %."""
    def run_and_add(plan):
        result = run(plan)
        for each in result["series"].values():
            for figures in each:
                figures["delivered"] = 100 * figures["lines_per_s"] / lines_per_s
        return result
    return run_and_add


def stalled(plan):
    """31 streams, alone and beside one whose client reads nothing."""
    load = Load(streams=31, lines=1000)
    with Millrace("--concurrency", "32") as server:
        quiet = rounds.sized(Contestant("undisturbed", server, load), plan.seconds)
        lines = quiet.load.lines
        # The lines are the same, so neither is sized again.
        return {"series": rounds.measured_in_turn(
            [quiet, Contestant("stalled", server, Load(streams=32, lines=lines, stalled=1))], plan.rounds, plan.on_round)}


def workers(plan):
    """The same 32 streams on 1, 2, 4 and 8 workers."""
    load = Load(streams=32, lines=1000)
    with contextlib.ExitStack() as stack:
        contestants = []
        for count in (1, 2, 4, 8):
            server = stack.enter_context(Millrace("--workers", str(count), "--concurrency", str(32 // count)))
            contestants.append(Contestant(f"{count} worker{'s' * (count > 1)}", server, load))
        return in_turn(contestants, plan)


def python(plan):
    """A plain generator in one worker and in two, an asynchronous one, and FastAPI where it is installed."""
    with contextlib.ExitStack() as stack:
        contestants = [
            Contestant("1 worker", stack.enter_context(Python("plain")), Load(lines=5000)),
            Contestant("2 workers", stack.enter_context(Python("plain", "--workers", "2")), Load(streams=2, lines=5000)),
            Contestant("asynchronous", stack.enter_context(Python("asynchronous")), Load(lines=5000)),
        ]
        if FastAPI.is_here():
            contestants.append(Contestant("fastapi", stack.enter_context(FastAPI()), Load(lines=2000)))
        return in_turn(contestants, plan)


def tool(plan):
    """The client itself, beside a server that costs next to nothing."""
    def load(streams, is_checked):
        return Load(streams=streams, lines=2000, duration_s=plan.seconds + 0.1, warmup_s=0.1, check=is_checked)
    with Reference("canned", "2000", "64") as server:
        return in_turn([Contestant(f"{streams} stream{'s' * (streams > 1)}, {'looked at' if is_checked else 'counted'}", server,
                                   load(streams, is_checked)) for streams in (1, 32) for is_checked in (False, True)], plan)


# ---- memory -------------------------------------------------------------------------------------------


def smallest():
    """Memory of a dispatcher that is ready for next to nothing: what is more is of connections and streams."""
    with Millrace("--max-connections", "10", "--queue", "0") as server:
        return processes.pss_bytes([server.dispatcher])


def many_streams(plan):
    """10,000 streams at once, each complete; fresh servers each time, weighed in the middle."""
    load = Load(streams=10_000, lines=30, pace_ms=100)
    series = {"millrace": [], "gathered": []}
    for number in range(min(plan.rounds, MEMORY_ROUND_COUNT)):
        plan.on_round(number)
        before = smallest()
        with Millrace("--workers", "3", "--concurrency", "3400") as server:
            figures = client.measure(server, load, sample_after_s=2.5)
            figures["bytes_per_stream"] = (figures["pss_bytes"]["dispatcher"] - before) / load.streams
            series["millrace"].append(figures)
        with Reference("gathered") as server:
            series["gathered"].append(client.measure(server, load))
    return {"series": series}


def idle(_plan):
    """Connections that send nothing, as many as the descriptor limit allows: what the dispatcher keeps for each."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = min(IDLE_COUNT, limit - DESCRIPTORS_OF_OTHERS)
    before = smallest()
    with Millrace("--max-connections", str(wanted + 10)) as server:
        count = processes.descriptor_count(server.dispatcher)
        load = subprocess.Popen([client.MILLRACE, "bench", "--url", f"http://127.0.0.1:{server.port}", "--connections", "0",
                                 "--idle", str(wanted), "--duration", f"{IDLE_TIMEOUT_S}s", "--quiet"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            held = settled(lambda: processes.descriptor_count(server.dispatcher)) - count
            after = processes.pss_bytes([server.dispatcher])
        finally:
            processes.stop(load)
    return {"figures": {"connections": held, "wanted": IDLE_COUNT, "bytes_each": (after - before) / held}}


def settled(look):
    """The value once it has stayed the same for a second."""
    deadline = time.monotonic() + IDLE_TIMEOUT_S
    value, since = look(), time.monotonic()
    while time.monotonic() - since < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
        latest = look()
        if latest != value:
            value, since = latest, time.monotonic()
    return value


# ---- counts -------------------------------------------------------------------------------------------


def counted(streams, lines):
    """A tenth of the lines first, to leave out what runs cost and not chunks."""
    def run(_plan):
        few, many = (counts.count(Load(streams=streams, lines=n, check=False)) for n in (lines // 10, lines))
        chunks = streams * (lines - lines // 10)
        return {"figures": {"chunks": chunks,
                            "per_chunk": {name: (many[name] - few[name]) / chunks for name in counts.LIMITS},
                            "calls": {process: many[f"calls, {process}"] for process in ("worker", "dispatcher")}}}
    return run


def parts(_plan):
    """Programs of their own, with figures of their own."""
    names = ("ring", "json_out")
    return {"text": {name: subprocess.run([os.path.join(BUILD, "tests/bench", name)], stdout=subprocess.PIPE, text=True,
                                          check=True).stdout for name in names}}


KIB, MIB = 1 << 10, 1 << 20
SCENARIOS = (
    Scenario("F1", "1 stream, lines as fast as they come",
             versus(Load(lines=1000), "gathered", "single", "pipe", "pipe-batched")),
    Scenario("F32", "32 streams at once, lines as fast as they come",
             versus(Load(streams=32, lines=100), "gathered", "single", "pipe", "pipe-batched")),
    Scenario("F1000", "1,000 streams at once, lines as fast as they come",
             versus(Load(streams=1000, lines=100), "gathered", "single", "pipe", "pipe-batched")),
    Scenario("P1000", "1,000 streams, a line every 10 ms on each",
             with_delivered(versus(Load(streams=1000, lines=ENDLESS, pace_ms=10, duration_s=4.0, warmup_s=1.0), "gathered"),
                            1000 * 100)),
    Scenario("P10000", "10,000 streams, a line every 100 ms on each", many_streams),
    Scenario("U64", "64 keep-alive connections, answers of one line",
             versus(Load(streams=64, lines=1), "gathered", "pipe")),
    Scenario("idle", "1 stream, a line each ms",
             versus(Load(lines=ENDLESS, pace_ms=1, duration_s=1.5, warmup_s=0.3), "gathered", "pipe")),
    Scenario("B64K", "1 stream, chunks of 64 KiB", versus(Load(lines=20, text_bytes=64 * KIB), "gathered", "pipe")),
    Scenario("B1M", "1 stream, chunks of 1 MiB", versus(Load(lines=4, text_bytes=MIB), "gathered", "pipe")),
    Scenario("B10M", "1 stream, chunks of 10 MiB", versus(Load(lines=2, text_bytes=10 * MIB), "gathered", "pipe")),
    Scenario("stalled", "31 streams alone, and beside one whose client reads nothing", stalled),
    Scenario("workers", "32 streams on 1, 2, 4 and 8 workers", workers),
    Scenario("connections", "connections that send nothing", idle),
    Scenario("python", "Python generators, in workers and inside FastAPI", python),
    Scenario("client", "the client itself, beside a server that sends the same bytes again and again", tool),
    Scenario("parts", "what one record costs in the ring, and one chunk as JSON", parts),
    Scenario("C1", "counted for a chunk, 1 stream", counted(1, 1_000_000)),
    Scenario("C32", "counted for a chunk, 32 streams", counted(32, 31_250)),
)
