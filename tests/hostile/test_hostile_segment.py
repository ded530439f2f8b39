# SPDX-License-Identifier: MIT
"""Scribbling over shared memory, forged records, and floods: they cost the attacker's own runs, and nobody else anything."""

import contextlib
import os
import re
import socket
import time

import pytest

import attacks
import wire
from arena import EVIL, NUMBERS, VICTIMS, WORDS, answer_of
from server import IS_SANITIZED, SLOWNESS, wait_until

SEED = 1
FRAGMENTS = ("--concurrency", "8", "--output-memory", "64m")
# A sanitizer keeps what was freed for a while.
UNCOUNTED_BYTES_MAX = (512 if IS_SANITIZED else 24) << 20
LATE = ("--progress-timeout", "1s")
LARGE = "x" * 300_000  # does not fit into one record

# Of 10 ms between lines; beside floods, and on a busy machine.
GAP_P99_S = 0.05 * SLOWNESS
PROCESSOR_SHARE = 0.6


def read_to_the_end(stream):
    """Whatever the attacker's own stream is: JSON, up to its end, or cut off."""
    with contextlib.suppress(wire.Closed, TimeoutError):
        for line in stream.raw_lines():
            wire.check_line(line)


@pytest.mark.parametrize("setting", ["default", "hardened"])
@pytest.mark.parametrize("pattern", attacks.PATTERNS)
def test_scribbling_costs_the_scribbler_alone(arena, pattern, setting):
    it = arena(setting, *LATE)
    it.wait_ready()
    before = it.pids()
    with it.server.stream(NUMBERS, 60, "y" * 30, 5) as victim:
        for seed in (SEED, SEED + 1):
            with it.begin(f"scribble {pattern} {seed} 2000 3000") as stream:
                read_to_the_end(stream)
        assert [wire.output_of(line)["i"] for line in victim.all()] == list(range(60))
    it.check_victims()
    assert it.pids() == before
    it.renew(EVIL)


# kind, flags, slot, generation, sequence, bytes
FORGED = {"end": "4", "end-again": "4 0 0 0 0", "chunk-empty": "3", "chunk-of-no-slot": "3 0 65535", "chunk-of-no-generation": "3 0 0 99",
          "chunk-out-of-sequence": "3 0 0 1 7", "chunk-too-long": "3 0 0 1 0 0x7fffffff", "error-empty": "5", "log-empty": "6",
          "start": "1", "stop": "2", "kind-unknown": "200", "flags-unknown": "3 255", "pad": "0"}


@pytest.mark.parametrize("words", FORGED.values(), ids=list(FORGED))
def test_forged_records_end_the_forger_alone(arena, words):
    it = arena("default", *LATE)
    it.wait_ready()
    before = it.pids()
    with it.begin(f"record-forge {words}") as stream:
        read_to_the_end(stream)
    it.check_victims()
    assert it.pids() == before


@pytest.mark.bounded(20)
@pytest.mark.parametrize("shift", [42, 62, 63])
def test_a_step_in_the_future_is_none(arena, shift):
    """Else whoever forged it would hang for as long as it says."""
    it = arena("default", *LATE)
    it.wait_ready()
    began = time.monotonic()
    with it.begin(f"progress-forge {shift}") as stream:
        *_, last = map(wire.check_line, stream.raw_lines())
    assert last["error"]["type"] in ("timeout", "pipeline_error"), last
    assert time.monotonic() - began < 5 * SLOWNESS


def test_values_that_are_never_whole_take_no_memory_from_others(arena):
    """Five runs that rest, and a sixth one that forges pieces for all of them."""
    it = arena("default", *FRAGMENTS)
    it.wait_ready()
    before = rss_bytes(it.server.process.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            assert answer_of(stack.enter_context(it.begin("rest")).next()) == "ok"
        stack.enter_context(it.begin("fragments 255"))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            [line] = it.server.lines(NUMBERS, 1, LARGE, 0)
            assert line["error"] is None, line["error"]
            assert wire.output_of(line)["chunk"] == LARGE
            # One is looked at after the other, and the forger may be ended between.
            wait_until(lambda: rss_bytes(it.server.process.pid) - before
                       < it.server.metric("millrace_output_memory_bytes") + UNCOUNTED_BYTES_MAX,
                       timeout_s=SLOWNESS, what="what is held is counted")


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


FLOODS = {"output": "flood-output 1500", "lines": "flood-lines 1500", "bells": "flood-bells 1500", "packets": "flood-packets 1500",
          "log": "flood-log 1500", "chunks": "flood-chunks 100000 8"}


@pytest.mark.parametrize("words", FLOODS.values(), ids=list(FLOODS))
def test_beside_a_flood_streams_are_whole_and_the_server_is_not_taken(arena, words):
    it = arena("default")
    it.wait_ready()
    before_s, began = it.server.cpu_s(), time.monotonic()
    with it.begin(words) as flood, it.server.stream(NUMBERS, 100, "z", 10) as victim:
        lines = victim.all()
        used_s, took_s = it.server.cpu_s() - before_s, time.monotonic() - began
        assert [wire.output_of(line)["i"] for line in lines] == list(range(100))
        gaps = sorted(later - earlier for earlier, later in zip(victim.times, victim.times[1:]))
        assert gaps[98 * len(gaps) // 100] < GAP_P99_S, gaps[-5:]
        if not words.startswith("flood-chunks"):  # what a run sends is its due: it is bounded by windows
            assert used_s < PROCESSOR_SHARE * took_s * SLOWNESS, f"{used_s:.2f} s of the processor in {took_s:.2f} s"
        flood.close()
    it.renew(EVIL)


def test_packets_with_descriptors_leave_none_in_the_server(arena):
    it = arena("default")
    it.wait_ready()
    before = descriptor_count(it)
    for words in ("packet-descriptors 4", "packet-huge 60000", "packet-huge 200000", *(f"packet-forge {kind} {count}"
                                                                                      for kind in (0, 1, 2, 3, 4, 99)
                                                                                      for count in (0, 1, 4_000_000_000))):
        it.attack(words)
        it.wait_ready()
    it.renew(EVIL)
    it.check_victims()
    wait_until(lambda: descriptor_count(it) <= before, what="no descriptor more than before")


# Each takes the one who closes it this long, at least.
HELD_S = 3
HELD = {"linger": f"packet-linger {HELD_S}", "memory": "packet-memory 64"}


@pytest.mark.parametrize("words", HELD.values(), ids=list(HELD))
@pytest.mark.parametrize("setting", ["default", "hardened", "users"])
def test_what_a_worker_sends_is_not_the_servers_to_close(arena, setting, words):
    it = arena(setting)
    it.wait_ready()
    answer = it.attack(words)
    began = time.monotonic()
    for _ in range(20):
        assert it.server.get("/livez").status == 200
    assert time.monotonic() - began < HELD_S / 2
    if words == HELD["memory"] and not refuses_descriptors():
        it.server.wait_log(r' worker_kill .*reason="it sent descriptors"')
    else:
        assert answer in attacks.REFUSALS, answer
    it.check_victims()


def refuses_descriptors():
    """Whether sockets of this kernel can (SO_PASSRIGHTS)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one, contextlib.suppress(OSError):
        one.getsockopt(socket.SOL_SOCKET, 83)
        return True
    return False


@pytest.mark.bounded(30)
def test_a_socket_that_is_shut_again_and_again_ends_the_worker_as_if_once(arena):
    it = arena("default")
    it.wait_ready()
    answer = it.attack("flood-shutdown 4000")
    assert answer.endswith("it closed its socket"), answer
    it.check_victims()


def descriptor_count(it):
    return len(os.listdir(f"/proc/{it.server.process.pid}/fd"))


def test_what_is_printed_cannot_move_a_terminal_or_hide_a_line(arena):
    it = arena("default")
    mark = it.server.log_mark()
    assert it.attack("print-controls") == "ok"
    it.server.wait_log("invalid", since=mark)
    text = "\n".join(it.server.log_since(mark))
    controls = re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffd]", text)
    assert not controls, [hex(ord(it)) for it in controls]


@pytest.mark.parametrize("words", ["deaf", "daemon", "children 20", "fork-storm 500", "spin 500"])
def test_processes_that_will_not_go_hold_nobody_up(arena, words):
    it = arena("default", *LATE)
    it.wait_ready()
    with it.begin(words) as stream:
        read_to_the_end(stream)
    for _ in VICTIMS:
        it.check_victims()
    assert [wire.output_of(line) for line in it.server.lines(WORDS, "one two")] != []
    it.renew(EVIL)


def test_a_stream_of_the_attacker_is_an_answer_like_any_other(arena):
    it = arena("default")
    with it.begin("flood-chunks 10 8") as stream:
        first, *rest = stream.all()
    assert answer_of(first) == "ok" and len(rest) == 10
