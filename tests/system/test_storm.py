# SPDX-License-Identifier: MIT
"""A storm of runs that end in every way: what clients saw, the log, the metrics and the history agree, run by
run and in sum."""

import collections
import contextlib
import dataclasses
import json
import random
import re
import threading
import time
import traceback

import pytest

import exposition
import wire
from server import SLOWNESS, bearer, example, make_tokens, wait_until

THREADS = 6
ROUNDS = 3
PLAIN, CRASH, RAISE = "storm/plain:v1", "storm/crash:v1", "storm/raise:v1"
QUEUE, FIRST = "storm/queue:v1", "storm/first:v1"
POINTERS = (PLAIN, CRASH, RAISE, QUEUE, FIRST)
NAMES = ("alice", "bob@box.example")

RAISING = '''from pipeline import Pipeline, Stream, Variable, pipe


@pipe
def raising(count: int) -> Stream:
    def numbers():
        yield from range(count)
        raise ValueError(f"after {count} \\u20ac\\\\ \\"values\\"\\nand a line")

    return Stream(numbers())


with Pipeline() as builder:
    builder.output(raising(Variable(int)))
graph = builder.get_pipeline()
'''


@dataclasses.dataclass
class Seen:
    """What a client saw of one run."""

    kind: str
    request: str
    token: str
    pipeline: str
    status: int = 0  # 0: it left before there was one
    run: str = ""  # its id, if a line said it
    lines: int = -1  # with values; -1: not told
    left: bool = False
    error: tuple = None  # type and message
    state: str = ""  # of the last line
    first_ms: float = None
    ms: float = None

    @property
    def end(self):
        """In the words of those who run the server."""
        if self.left:
            return "cancelled"
        if self.error is None:
            return "completed"
        if self.state == "no_resources_available" or self.status == 400:
            return "refused"
        return "cancelled" if self.error[1].startswith("cancelled") else "failed"


class Client:
    """One of several, each with a token of its own or another's, one thing after the other."""

    def __init__(self, server, number, tokens):
        self.server = server
        self.number = number
        self.name = NAMES[number % len(NAMES)]
        self.token = tokens[number % len(NAMES)]
        self.seen = []
        self.refused = collections.Counter()  # requests for no run, by status
        self.count = 0

    def headers(self, more=None):
        self.count += 1
        return {**bearer(self.token), "X-Request-Id": f"c{self.number}-{self.count}", **(more or {})}

    @contextlib.contextmanager
    def stream(self, kind, pointer, *values, headers=None, **options):
        """A stream that is begun, and what will have been seen of it."""
        fields = self.headers(headers)
        seen = Seen(kind, fields["X-Request-Id"], self.name, pointer)
        self.seen.append(seen)
        began = time.monotonic()
        with wire.Stream(self.server.connect(**options), wire.run_body(pointer, values), fields) as stream:
            yield stream, seen
            if stream.times:
                seen.first_ms = (stream.times[0] - began) * 1000
        seen.ms = (time.monotonic() - began) * 1000

    @staticmethod
    def read(stream, seen, lines=()):
        """To its end, behind what was read before."""
        seen.status = stream.begin().status
        lines = [*lines, *stream]
        seen.lines = sum(line["outputs"] is not None for line in lines)
        if lines:
            seen.run, seen.state = lines[0]["id"], lines[-1]["state"]
            assert {line["id"] for line in lines} == {seen.run}
            if error := lines[-1]["error"]:
                seen.error = error["type"], error["message"]
        if stream.response.header("Transfer-Encoding") == "chunked":
            assert stream.trailers == {"Millrace-Run-State": "failed" if seen.error else "completed",
                                       "Millrace-Run-Lines": str(seen.lines)}

    # ---- ways to end -----------------------------------------------------------------------------------------

    def whole(self, kind, pointer, *values, headers=None):
        with self.stream(kind, pointer, *values, headers=headers) as (stream, seen):
            self.read(stream, seen)

    def result(self, kind, pointer, *values):
        """Without a stream."""
        fields = self.headers()
        began = time.monotonic()
        answer = self.server.run(pointer, *values, headers=fields)
        line = wire.result_of(answer)
        error = line["error"]
        self.seen.append(Seen(kind, fields["X-Request-Id"], self.name, pointer, answer.status, line["id"],
                              lines=-1 if error else len(line["outputs"][0]["value"]), state=line["state"],
                              error=(error["type"], error["message"]) if error else None,
                              ms=(time.monotonic() - began) * 1000))

    def delete(self):
        with self.stream("deleted", PLAIN, 100000, "x", 20) as (stream, seen):
            if stream.begin().status != 200:
                self.read(stream, seen)
                return
            line = stream.next()
            assert self.server.ask("DELETE", f"/v4/runs/{line['id']}", headers=bearer(self.token)).status == 200
            self.read(stream, seen, [line])

    def leave(self, how):
        with self.stream("left", PLAIN, 100000, "x", 20) as (stream, seen):
            if how == "before":
                time.sleep(0.01)  # as good as any time: it may wait, be refused, or have begun
                seen.left = True
                return
            if stream.begin().status != 200:
                self.read(stream, seen)
                return
            line = stream.next()
            seen.run, seen.lines, seen.status, seen.left = line["id"], 1, 200, True
            if how == "reset":
                stream.connection.reset()

    def stall(self):
        """Reads nothing until the server has given up."""
        with self.stream("stalled", PLAIN, 100000, "x" * 1000, 0, receive_buffer_bytes=4096) as (_, seen):
            seen.left = True
            wait_until(lambda: any(re.search(rf"run_end\b.*\b{seen.request}\b", line) for line in self.server.log[:]))

    def crowd(self):
        """One slot, two that may wait: the fourth is refused, and the others wait too long."""
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(self.stream("crowd", QUEUE, 20, "x", 30)) for _ in range(4)]
            for stream, seen in streams:
                self.read(stream, seen)

    def wrong(self):
        self.whole("wrong input", PLAIN, 1, "x", "late")
        for status, body in ((422, b"{"), (404, wire.run_body("storm/none:v1", []))):
            answer = self.server.ask("POST", "/v4/runs/stream", body, self.headers())
            assert answer.status == status
            self.refused[status] += 1

    def actions(self):
        yield from [
            lambda: self.whole("completed", PLAIN, 5, "x", 0),
            lambda: self.whole("empty", PLAIN, 0, "x", 0),
            lambda: self.result("completed", PLAIN, 3, "x", 5),
            lambda: self.whole("failed", CRASH, "fail_errno", 2, 0),
            lambda: self.result("failed", CRASH, "fail", 0, 0),
            lambda: self.whole("exception", RAISE, 3),
            lambda: self.result("exception", RAISE, 0),
            lambda: self.whole("crashed", CRASH, "crash", 2, 0),
            lambda: self.whole("late", PLAIN, 100000, "x", 20, headers={"X-Request-Timeout": "0.2"}),
            lambda: self.whole("late", FIRST, 2, "x", 1000),
            lambda: self.leave("after"),
            lambda: self.leave("reset"),
            lambda: self.leave("before"),
            self.delete,
            self.wrong,
        ]
        if self.number % 3 == 0:
            yield from [self.crowd, lambda: self.whole("hung", CRASH, "hang", 1, 0)]
        if self.number == 1:
            yield self.stall


def begin(start, tmp_path, log_format):
    (tmp_path / "raising.py").write_text(RAISING, encoding="utf-8")
    tokens = make_tokens(tmp_path / "tokens", *NAMES)
    server = start(
        f"{PLAIN}={example('numbers.so')}", f"{CRASH}={example('misbehave.so')}", f"{RAISE}={tmp_path}/raising.py:graph",
        f"{QUEUE}={example('numbers.so')}", f"{FIRST}={example('numbers.so')}",
        options=["--log-format", log_format, "--token-file", str(tmp_path / "tokens"), "--metrics", "token",
                 "--concurrency", "2", "--workers", "2", "--workers", f"{QUEUE}=1", "--concurrency", f"{QUEUE}=1",
                 "--queue", f"{QUEUE}=2", "--queue-timeout", f"{QUEUE}=150ms", "--first-chunk-timeout", f"{FIRST}=150ms",
                 "--progress-timeout", f"{CRASH}=300ms", "--cancel-grace", "200ms", "--stall-timeout", "500ms",
                 "--quarantine-after", f"{CRASH}=100", "--quarantine-retry", "100ms", "--stop-timeout", "0s"])
    return server, tokens


def storm(server, tokens, seed):
    """All clients at once; what each saw."""
    clients = [Client(server, number, tokens) for number in range(THREADS)]
    failures = []

    def go(client):
        dice = random.Random(seed * THREADS + client.number)
        try:
            for _ in range(ROUNDS):
                actions = list(client.actions())
                dice.shuffle(actions)
                for action in actions:
                    action()
        except BaseException:
            failures.append(traceback.format_exc())

    threads = [threading.Thread(target=go, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, "".join(failures)
    return clients


# ---- the log --------------------------------------------------------------------------------------------------


FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)")
NUMBERS = ("worker", "attempt", "status", "lines", "bytes", "waited_ms", "first_ms", "ms")


def text_of(word):
    if not word.startswith('"'):
        return word
    resolved = ESCAPE.sub(lambda found: {b"n": b"\n"}.get(found[1]) or
                          (found[1] if len(found[1]) == 1 else bytes([int(found[1][1:], 16)])), word[1:-1].encode())
    return resolved.decode()


def events_of(server, name):
    """The events of this name, whatever the format."""
    found = []
    for line in server.log[:]:
        if line.startswith("{"):
            event = json.loads(line)
            if event["event"] == name:
                found.append(event)
        elif match := re.fullmatch(rf"\S+ (\w+) {name} (.*)", line):
            event = {"level": match[1], **{key: text_of(word) for key, word in FIELD.findall(match[2])}}
            found.append({key: int(value) if key in NUMBERS else value for key, value in event.items()})
    return found


def ends_by_request(server):
    ends = {}
    for event in events_of(server, "run_end"):
        assert event["request"] not in ends, f"two ends: {ends[event['request']]}, {event}"
        ends[event["request"]] = event
    return ends


# Why a run was cancelled, by what its client did; refused, by the status; and which limit of its pipeline a run passed.
CANCELS = {"deleted": "requested", "left": "client_gone", "stalled": "client_stalled"}
REFUSALS = {429: ("queue_full",), 400: ("input",), 503: ("not_ready", "quarantined")}
LIMITS = {PLAIN: "run_timeout", CRASH: "progress_timeout", QUEUE: "queue_timeout", FIRST: "first_chunk_timeout"}


def causes(seen, end):
    """Those that this run may have; None: that it has none."""
    if end["state"] == "cancelled":
        return (CANCELS[seen.kind],)
    if end["state"] == "refused":
        return REFUSALS[end["status"]]
    return (LIMITS[seen.pipeline],) if end.get("error") == "timeout" else (None,)


def check_run(seen, end):
    """What the log says of a run is what its client saw."""
    assert (end["pipeline"], end["token"], end["client"]) == (seen.pipeline, seen.token, "127.0.0.1")
    assert end["run"] == seen.run or not seen.run
    # Who left at once may have been refused without having seen it.
    assert end["state"] == seen.end or (seen.left and not seen.run and end["state"] == "refused"), (seen, end)
    if not seen.left:
        assert end["status"] == seen.status
        assert end.get("error") == (seen.error[0] if end["state"] == "failed" else None)
        if end["state"] in ("failed", "refused"):
            assert end["message"] == seen.error[1]
    assert end.get("cause") in causes(seen, end), (seen, end)
    if seen.lines >= 0:
        assert end["lines"] >= seen.lines if seen.left else end["lines"] == seen.lines, (seen, end)
    assert end["level"] == ("warning" if end["state"] == "failed" else "info")
    assert ("first_ms" in end) == (end["lines"] > 0), end
    assert ("worker" in end) or (end["lines"] == 0 and end["waited_ms"] == end["ms"]), end
    assert end["waited_ms"] <= end.get("first_ms", end["ms"]) <= end["ms"]
    # The client's clock runs from before its request to after the end.
    assert seen.left or end["ms"] <= seen.ms + 2, (seen, end)
    if seen.first_ms is not None and "first_ms" in end:
        assert end["first_ms"] <= seen.first_ms + 2, (seen, end)


# ---- the metrics ----------------------------------------------------------------------------------------------


def summed(ends, key):
    return sum(end.get(key, 0) for end in ends)


def counted(families, name, label, **of):
    """A counter by one of its labels, zeros left out."""
    wanted = set(of.items())
    return {dict(labels)[label]: int(value) for (_, labels), value in families["millrace_" + name].samples.items()
            if wanted <= set(labels) and value > 0 and label in dict(labels)}


def times(families, name, pointer):
    """How many, and their sum in ms."""
    samples = families[f"millrace_{name}_seconds"].samples
    of = (("pipeline", pointer),)
    return int(samples["_count", of]), round(samples["_sum", of] * 1000)


def counts_of(ends, key):
    return dict(collections.Counter(end[key] for end in ends if key in end))


def check_pipeline(families, pointer, all_ends):
    """What is counted of a pipeline are the lines of the log."""
    ends = [end for end in all_ends if end["pipeline"] == pointer]
    taken = [end for end in ends if end["state"] != "refused"]
    failed = [end for end in ends if end["state"] == "failed"]
    of = {"pipeline": pointer}
    assert exposition.total(families, "millrace_runs_accepted", **of) == len(taken)
    assert counted(families, "runs_ended", "end", **of) == {
        **counts_of([end for end in ends if end["state"] == "completed"], "state"), **counts_of(failed, "error")}
    assert counted(families, "runs_cancelled", "cause", **of) == counts_of(
        [end for end in ends if end["state"] == "cancelled"], "cause")
    assert counted(families, "run_timeouts", "limit", **of) == counts_of(
        [end for end in failed if end["error"] == "timeout"], "cause")
    assert counted(families, "refusals", "cause", **of) == counts_of(
        [end for end in ends if end["state"] == "refused"], "cause")
    assert times(families, "run_duration", pointer) == (len(taken), summed(taken, "ms"))
    had_worker = [end for end in ends if "worker" in end]
    assert times(families, "run_wait", pointer) == (len(had_worker), summed(had_worker, "waited_ms"))
    had_chunk = [end for end in ends if "first_ms" in end]
    assert times(families, "run_first_chunk", pointer) == (len(had_chunk), summed(had_chunk, "first_ms"))
    gap_count, gaps_ms = times(families, "chunk_gap", pointer)
    assert gap_count == summed(had_chunk, "lines") - len(had_chunk)
    assert gaps_ms <= summed(had_chunk, "ms") - summed(had_chunk, "first_ms") + len(had_chunk)


def check_sums(families, clients, ends):
    exposition.check_tally(families)
    for pointer in POINTERS:
        check_pipeline(families, pointer, ends)
    for name in NAMES:
        assert counted(families, "token_runs", "state", token=name) == counts_of(
            [end for end in ends if end["token"] == name], "state")
    # Requests that are none for a run, and what was answered.
    refused = sum((client.refused for client in clients), collections.Counter())
    requests = counted(families, "refusals", "cause")
    assert (requests["bad_request"], requests["not_found"]) == (refused[422], refused[404])
    answered = collections.Counter(str(seen.status) for client in clients for seen in client.seen)
    responses = counted(families, "responses", "status")
    for status in ("400", "429", "503", "504"):
        unseen = sum(end["state"] == "refused" and str(end["status"]) == status for end in ends) - sum(
            seen.end == "refused" and str(seen.status) == status for client in clients for seen in client.seen)
        assert responses.get(status, 0) - answered[status] in range(unseen + 1), status
    assert exposition.total(families, "millrace_log_lines_dropped") == 0


# ---- the history ----------------------------------------------------------------------------------------------


def check_history(server, token, end):
    """GET /v4/runs/ID, in the words of clients."""
    answer = server.get(f"/v4/runs/{end['run']}", bearer(token))
    assert answer.status == 200, end
    run = answer.json()
    states = {"completed": ("completed",), "failed": ("failed",), "cancelled": ("failed",),
              "refused": ("failed", "no_resources_available")}
    assert run["state"] in states[end["state"]], (run, end)
    assert (run["lines"], run["worker"]) == (end["lines"], end.get("worker"))
    assert run["attempt"] == end.get("attempt", 1 if "worker" in end else run["attempt"])
    if end["state"] in ("failed", "refused"):
        assert run["error"]["message"] == end["message"]
        assert run["error"]["type"] == end.get("error", run["error"]["type"])
    at = run["times"]
    assert (at["started"] is not None) == ("worker" in end) and (at["first_chunk"] is not None) == ("first_ms" in end)
    for name, key in (("started", "waited_ms"), ("first_chunk", "first_ms"), ("ended", "ms")):
        if at[name] is not None:
            assert (at[name] - at["queued"]) * 1000 == pytest.approx(end[key], abs=20), (name, end)


# ---- the storm ------------------------------------------------------------------------------------------------


def check_end(server, clients, tokens):
    """When all is quiet."""
    def metrics():
        return exposition.parse(server.get("/metrics", bearer(tokens[0])).body)

    seen = {run.request: run for client in clients for run in client.seen}
    wait_until(lambda: exposition.total(metrics(), "millrace_runs") == 0, what="the end of all runs")
    wait_until(lambda: len(ends_by_request(server)) >= len(seen), what="a line for each run")
    ends = ends_by_request(server)
    assert set(ends) == set(seen)
    for request, run in seen.items():
        check_run(run, ends[request])
    check_sums(metrics(), clients, list(ends.values()))
    for end in ends.values():
        check_history(server, tokens[NAMES.index(end["token"])], end)
    return ends


def check_all_happened(ends):
    assert set(counts_of(ends, "state")) == {"completed", "failed", "cancelled", "refused"}
    assert set(counts_of(ends, "cause")) >= {"requested", "client_gone", "client_stalled", "queue_full", "input",
                                             *LIMITS.values()}
    messages = " ".join(end.get("message", "") for end in ends)
    assert "ValueError(" in messages and "killed by signal 11" in messages


def stop_in_the_middle(server, tokens):
    """Runs that the end of the server ends: all but the metrics can still be asked."""
    client = Client(server, THREADS, tokens)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(client.stream("drained", PLAIN, 100000, "x", 20)) for _ in range(3)]
        lines = [stream.next() for stream, _ in streams]
        server.signal(15)
        for (stream, seen), line in zip(streams, lines):
            client.read(stream, seen, [line])
    assert server.wait_exit() == 0
    server.check_reports()
    ends = ends_by_request(server)
    for seen in client.seen:
        end = ends[seen.request]
        assert (end["state"], end["cause"], seen.end) == ("cancelled", "draining", "cancelled")
        assert end["lines"] == seen.lines
    return client.seen


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_clients_log_metrics_and_history_agree_run_by_run_and_in_sum(start, tmp_path, log_format):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    server, tokens = begin(start, tmp_path, log_format)
    clients = storm(server, tokens, seed)
    ends = check_end(server, clients, tokens)
    check_all_happened(ends.values())
    drained = stop_in_the_middle(server, tokens)
    # Nothing was said twice or late, and of each exception where it was.
    assert len(ends_by_request(server)) == len(ends) + len(drained)
    raised = [end["run"] for end in ends.values() if end["pipeline"] == RAISE and end["state"] == "failed"]
    traced = [event["run"] for event in events_of(server, "run_traceback") if event["pipeline"] == RAISE]
    assert sorted(raised) == sorted(traced) and len(set(raised)) == len(raised)
