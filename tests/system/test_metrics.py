# SPDX-License-Identifier: MIT
"""GET /metrics: what it looks like, that it is documented, who may see it, and that its tally adds up."""

import contextlib
import os
import re
import signal
import subprocess

import pytest

import exposition
import wire
from server import MILLRACE, TOP, bearer, example, make_tokens, process_cpu_s, wait_until

MISBEHAVE = "local/misbehave:v1"
NUMBERS = "local/numbers:v1"


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("misbehave.so"), example("numbers.so"),
                        options=["--workers", "2", "--concurrency", "2", "--queue", "2", "--cancel-grace", "500ms",
                                 "--stall-timeout", "500ms"])


def count(server, name, **labels):
    return exposition.total(server.metrics(), "millrace_" + name, **labels)


def grows(server, name, action, by=1, **labels):
    """The action makes the metric grow, now or soon, and by exactly this."""
    before = count(server, name, **labels)
    action()
    wait_until(lambda: count(server, name, **labels) >= before + by, what=f"{name} {labels} grown")
    assert count(server, name, **labels) == before + by, (name, labels)


# ---- the text -------------------------------------------------------------------------------------------------


def test_the_text_is_what_prometheus_reads(server):
    server.lines(NUMBERS, 2, "x", 0)
    answer = server.get("/metrics")
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    families = exposition.parse(answer.body)
    assert exposition.total(families, "millrace_runs_ended", pipeline=NUMBERS, end="completed") >= 1
    assert server.ask("HEAD", "/metrics").body == b""


def test_who_accepts_openmetrics_gets_it(server):
    accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    answer = server.get("/metrics", {"Accept": accept})
    assert answer.header("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = exposition.parse(answer.body, is_open=True)
    assert set(families) == set(server.metrics())


def test_promtool_has_nothing_to_say(server):
    server.lines(NUMBERS, 2, "x", 0)
    result = subprocess.run(["promtool", "check", "metrics"], input=server.get("/metrics").body, capture_output=True,
                            check=False, timeout=60)
    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


def documented():
    """The names and labels in docs/operations.md, from its tables of metrics."""
    with open(os.path.join(TOP, "docs/operations.md"), encoding="utf-8") as file:
        text = file.read()
    rows = [line.split("|")[1:3] for line in text.splitlines() if re.match(r"\| `(millrace|process)_", line)]
    names = {}
    for row, kinds in rows:
        for name, labels in re.findall(r"`([a-z_]+)(?:\{([a-z,]+)\})?`", row):
            assert name not in names, f"{name} is listed twice"
            names[name] = (set(filter(None, labels.split(","))), kinds)
    return names


def test_every_metric_is_documented_and_every_documented_metric_is_there(start, fakes, tmp_path):
    [token] = make_tokens(tmp_path / "tokens", "alice")
    (tmp_path / "millrace.yaml").write_text(f"aliases: {{me/numbers:prod: {NUMBERS}}}\n")
    server = start(example("numbers.so"), example("engine.so"), example("nearest.so"),
                   options=["--token-file", str(tmp_path / "tokens"), "--metrics", "token",
                            "--config", str(tmp_path / "millrace.yaml"), "--devices", "cuda", "--device-memory", "1g",
                            "--preload", "import", "--schedule", "fair", "--affinity", "field"],
                   environment={"LD_LIBRARY_PATH": fakes("nvml"), "NVIDIA_FAKE_GPUS": "1"})
    server.run(NUMBERS, 2, "x", 0, headers=bearer(token))
    server.run("local/engine:v1", 6, headers=bearer(token))
    server.run("local/nearest:v1", [0] * 16, headers=bearer(token))
    wait_until(lambda: {"millrace_step_values", "millrace_batch_runs"} <= set(families_for(server, token)))
    listed = documented()
    shown = {}
    for family in families_for(server, token).values():
        name = family.name + ("_total" if family.kind == "counter" else "")
        labels = {label for _, pairs in family.samples for label, _ in pairs if label != "le"}
        shown[name] = (labels, family.kind)
    assert set(shown) == set(listed)
    for name, (labels, kind) in shown.items():
        is_empty = not labels and name in exposition.EMPTY_AT_TIMES
        assert is_empty or labels == listed[name][0], name
        assert kind in listed[name][1], name


def test_every_cause_is_documented(server):
    with open(os.path.join(TOP, "docs/operations.md"), encoding="utf-8") as file:
        text = file.read()
    for name in ("runs_cancelled", "run_timeouts", "refusals", "worker_restarts"):
        [row] = [line for line in text.splitlines() if line.startswith(f"| `millrace_{name}_total")]
        causes = {value for _, pairs in server.metrics()["millrace_" + name].samples
                  for label, value in pairs if label in ("cause", "limit")}
        assert causes == set(re.findall(r"`([a-z_]+)`", row.split("|", 2)[2])), name


# ---- who may see it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("access,without,with_token", [("open", 200, 200), ("token", 401, 200), ("off", 404, 404)])
def test_who_may_see_it_is_configured(start, tmp_path, access, without, with_token):
    tokens = tmp_path / "tokens"
    made = subprocess.run([MILLRACE, "token", "new", "alice", "--file", str(tokens)], capture_output=True, text=True,
                          check=True)
    token = re.search(r"[A-Za-z0-9_-]{20,}", made.stdout)[0]
    server = start(example("numbers.so"), options=["--token-file", str(tokens), "--metrics", access])
    assert server.get("/metrics").status == without
    assert server.get("/metrics", {"Authorization": f"Bearer {token}"}).status == with_token
    assert server.ask("POST", "/metrics", b"").status == (404 if access == "off" else 405)


# ---- the tally ------------------------------------------------------------------------------------------------


def test_ends_are_counted_by_type(server):
    grows(server, "runs_ended", lambda: server.lines(MISBEHAVE, "nan", 1, 0), pipeline=MISBEHAVE, end="completed")
    grows(server, "runs_ended", lambda: server.lines(MISBEHAVE, "result_99", 1, 0), pipeline=MISBEHAVE,
          end="pipeline_error")


def test_refusals_are_counted_by_cause(server):
    grows(server, "refusals", lambda: server.run(MISBEHAVE, "nan"), pipeline=MISBEHAVE, cause="input")
    grows(server, "refusals", lambda: server.ask("POST", "/v4/runs", b"{"), cause="bad_request")
    grows(server, "refusals", lambda: server.ask("PUT", "/v4/runs", b"{}"), cause="bad_request")
    grows(server, "refusals", lambda: server.get("/nowhere"), cause="not_found")
    grows(server, "refusals", lambda: server.run("no/pipeline:v1"), cause="not_found")
    grows(server, "refusals", lambda: server.get("/" + "x" * 9000), cause="too_large")

    def fill():
        streams = [server.stream(NUMBERS, 100000, "x", 20) for _ in range(6)]
        wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 2)
        assert count(server, "queue_depth", pipeline=NUMBERS) == 2
        assert count(server, "runs_active", pipeline=NUMBERS) == 4
        assert server.run(NUMBERS, 1, "x", 0).status == 429
        for stream in streams:
            stream.close()

    grows(server, "refusals", fill, pipeline=NUMBERS, cause="queue_full")


def test_cancels_are_counted_by_cause(server):
    def leave():
        with server.stream(NUMBERS, 100000, "x", 20) as stream:
            stream.next()

    def delete():
        with server.stream(NUMBERS, 100000, "x", 20) as stream:
            server.ask("DELETE", f"/v4/runs/{stream.next()['id']}")

    def be_late():
        with server.stream(NUMBERS, 100000, "x", 20, headers={"X-Request-Timeout": "0.1"}) as stream:
            stream.all()

    def stall():
        connection = server.connect(receive_buffer_bytes=4096)
        connection.request("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [100000, "x" * 1000, 0]))
        wait_until(lambda: server.log_since(0, " client_stalled "))
        connection.close()

    failed = count(server, "runs_ended")
    for cause, action in (("client_gone", leave), ("requested", delete), ("client_stalled", stall)):
        grows(server, "runs_cancelled", action, pipeline=NUMBERS, cause=cause)
    assert count(server, "runs_ended") == failed, "a run that was cancelled is none that ended"
    grows(server, "run_timeouts", be_late, pipeline=NUMBERS, limit="run_timeout")
    grows(server, "runs_ended", be_late, pipeline=NUMBERS, end="timeout")
    assert count(server, "client_stalls") == 1


def test_restarts_are_counted_by_cause(server):
    def hang():
        """Leaves when the worker computes without end: before, it would see that nobody waits."""
        with server.stream(MISBEHAVE, "spin", 1, 0) as stream:
            stream.next()
            pids = [worker["pid"] for worker in server.workers(MISBEHAVE) if worker["pid"]]  # one may be starting
            used = [process_cpu_s(pid) for pid in pids]
            wait_until(lambda: any(process_cpu_s(pid) > before + 0.05 for pid, before in zip(pids, used)))

    grows(server, "worker_restarts", lambda: kill(server.workers(NUMBERS)[0]["pid"]), pipeline=NUMBERS, cause="crashed")
    grows(server, "worker_restarts", lambda: server.lines(MISBEHAVE, "exit", 0, 0), pipeline=MISBEHAVE, cause="exited")
    grows(server, "worker_restarts", hang, pipeline=MISBEHAVE, cause="hung")
    for pointer in (NUMBERS, MISBEHAVE):
        wait_until(lambda p=pointer: count(server, "workers", pipeline=p, state="ready") == 2)
        assert count(server, "workers", pipeline=pointer) == 2


def test_times_are_counted(start):
    server = start(example("numbers.so"))
    for _ in range(2):
        with server.stream(NUMBERS, 10, "x", 20) as first, server.stream(NUMBERS, 1, "x", 0) as second:
            assert len(first.all()) == 10 and len(second.all()) == 1
    families = server.metrics()
    waits = families["millrace_run_wait_seconds"].samples
    durations = families["millrace_run_duration_seconds"].samples
    of = (("pipeline", NUMBERS),)
    assert waits["_count", of] == durations["_count", of] == 4
    # The second one of each pair waited for the first one, which takes 180 ms at least.
    assert 0.3 < waits["_sum", of] < durations["_sum", of]
    assert waits["_bucket", (("le", "0.1"), *of)] == 2
    firsts = families["millrace_run_first_chunk_seconds"].samples
    assert firsts["_count", of] == 4 and waits["_sum", of] <= firsts["_sum", of] < durations["_sum", of]
    assert firsts["_bucket", (("le", "0.1"), *of)] == 2
    # Of the first ones only: the second ones have one chunk each.
    gaps = families["millrace_chunk_gap_seconds"].samples
    assert gaps["_count", of] == 18 and 0.2 < gaps["_sum", of] < durations["_sum", of]
    passes = families["millrace_loop_pass_seconds"].samples
    assert passes["_count", ()] >= count(server, "passes") / 2 > 0
    assert 0 < passes["_sum", ()] < 60


def test_chunks_that_come_together_are_counted_each(start):
    server = start(example("numbers.so"), example("misbehave.so"))
    server.lines(NUMBERS, 5000, "x", 0)
    server.lines(NUMBERS, 0, "x", 0)
    server.lines(MISBEHAVE, "fail_errno", 0, 0)
    server.lines(MISBEHAVE, "fail_errno", 3, 0)
    families = server.metrics()
    for pointer, gaps in ((NUMBERS, 4999), (MISBEHAVE, 2)):
        assert exposition.total(families, "millrace_run_duration_seconds", pipeline=pointer) == 2
        assert exposition.total(families, "millrace_run_first_chunk_seconds", pipeline=pointer) == 1
        assert exposition.total(families, "millrace_chunk_gap_seconds", pipeline=pointer) == gaps


def usage_of(server, pointer, worker):
    """Resident bytes and processor time of one worker, as the metrics have them; None: they have none."""
    labels = (("pipeline", pointer), ("worker", str(worker)))
    families = server.metrics()
    used = (families["millrace_worker_resident_bytes"].samples.get(("", labels)),
            families["millrace_worker_cpu_seconds"].samples.get(("_total", labels)))
    return None if None in used else used


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


BURNER = '''import time

from pipeline import Pipeline, Variable, pipe

held = []


@pipe
def burn(ms: int) -> str:
    """Holds a MiB more for each millisecond of processor time that it uses."""
    end = time.process_time() + ms / 1000
    while time.process_time() < end:
        pass
    held.append(b"x" * (ms << 20))
    return "done"


with Pipeline() as builder:
    builder.output(burn(Variable(int)))
graph = builder.get_pipeline()
'''


def test_each_worker_says_what_it_holds_and_has_used(start, tmp_path):
    pointer, module = "me/burner:v1", tmp_path / "burner.py"
    module.write_text(BURNER, encoding="utf-8")
    server = start(f"{pointer}={module}:graph", options=["--workers", "2", "--concurrency", "1"])
    before = [usage_of(server, pointer, worker) for worker in (0, 1)]
    assert None not in before
    run = wire.result_of(server.run(pointer, 200))
    assert run["outputs"][0]["value"] == "done"
    busy = server.get(f"/v4/runs/{run['id']}").json()["worker"]
    idle = 1 - busy
    pids = [worker["pid"] for worker in server.workers(pointer)]
    # Each is looked at once a second at most.
    wait_until(lambda: usage_of(server, pointer, busy)[1] >= before[busy][1] + 0.2)
    for worker in (0, 1):
        held, used = usage_of(server, pointer, worker)
        assert used == pytest.approx(process_cpu_s(pids[worker]), abs=0.05)
        assert held == pytest.approx(resident_bytes(pids[worker]), rel=0.1)
    held, used = usage_of(server, pointer, busy)
    assert held > before[busy][0] + (150 << 20)
    assert usage_of(server, pointer, idle)[1] < before[idle][1] + 0.1
    # A new process begins anew, and nothing is said of the old one.
    kill(pids[busy])
    server.wait_worker(pointer, busy, other_than=pids[busy])
    wait_until(lambda: usage_of(server, pointer, busy))
    now = usage_of(server, pointer, busy)
    assert now[0] < held - (150 << 20) and now[1] < used - 0.1


# ---- tokens ---------------------------------------------------------------------------------------------------


def token_runs(families):
    if "millrace_token_runs" not in families:
        return None
    return {tuple(value for _, value in labels): int(count)
            for (_, labels), count in families["millrace_token_runs"].samples.items()}


def families_for(server, token):
    return exposition.parse(server.get("/metrics", bearer(token)).body)


def test_runs_are_counted_by_token_and_state(start, tmp_path):
    alice, bob, _ = make_tokens(tmp_path / "tokens", "alice", "bob", "carol")
    server = start(example("numbers.so"), example("misbehave.so"),
                   options=["--token-file", str(tmp_path / "tokens"), "--metrics", "token"])
    server.run(NUMBERS, 1, "x", 0, headers=bearer(alice))
    server.run(NUMBERS, 2, "x", 0, headers=bearer(alice))
    server.run(MISBEHAVE, "fail_errno", 0, 0, headers=bearer(alice))
    server.run(NUMBERS, 1, headers=bearer(bob))
    with server.stream(NUMBERS, 100000, "x", 20, headers=bearer(bob)) as stream:
        stream.next()
    wait_until(lambda: token_runs(families_for(server, alice)).get(("cancelled", "bob")) == 1)
    # Of those who never came nothing is said.
    assert token_runs(families_for(server, bob)) == {
        ("completed", "alice"): 2, ("failed", "alice"): 1, ("cancelled", "alice"): 0, ("refused", "alice"): 0,
        ("completed", "bob"): 0, ("failed", "bob"): 0, ("cancelled", "bob"): 1, ("refused", "bob"): 1}


def test_names_of_tokens_are_not_for_everybody(start, tmp_path):
    [alice] = make_tokens(tmp_path / "tokens", "alice")
    server = start(example("numbers.so"), options=["--token-file", str(tmp_path / "tokens")])
    server.run(NUMBERS, 1, "x", 0, headers=bearer(alice))
    assert token_runs(families_for(server, alice)) is None
    assert b"alice" not in server.get("/metrics").body


def test_of_many_tokens_the_last_ones_share_their_series(start, tmp_path):
    tokens = make_tokens(tmp_path / "tokens", *[f"caller{i}" for i in range(67)])
    server = start(example("numbers.so"),
                   options=["--token-file", str(tmp_path / "tokens"), "--metrics", "token"])
    for i in (0, 63, 64, 66):
        server.run(NUMBERS, 1, "x", 0, headers=bearer(tokens[i]))
    runs = token_runs(families_for(server, tokens[0]))
    assert {key: count for key, count in runs.items() if count > 0} == {
        ("completed", "caller0"): 1, ("completed", "caller63"): 1, ("completed", "(others)"): 2}
    assert len(runs) == 3 * 4


# ---- in the middle of it --------------------------------------------------------------------------------------


def kill(pid):
    """The worker may just have ended; then its place has none, or another one."""
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_tally_adds_up_while_workers_die_and_clients_leave(server):
    """Asked again and again in the middle of it; the soak does it with more of everything."""
    streams = []
    for i in range(40):
        streams.append(server.stream(NUMBERS, 1 + 7 * i, "x", i % 3))
        if i % 5 == 0:
            kill(server.workers(NUMBERS)[i // 5 % 2]["pid"])
        if i % 3 == 0:
            streams.pop(0).close()
        families = server.metrics()
        exposition.check_tally(families)
    for stream in streams:
        stream.close()
    wait_until(lambda: count(server, "runs") == 0)
    families = server.metrics()
    exposition.check_tally(families)
    assert exposition.total(families, "millrace_runs_active") == exposition.total(families, "millrace_queue_depth") == 0
