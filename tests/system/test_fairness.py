# SPDX-License-Identifier: MIT
"""Who is next among those that wait: tenants, classes, full queues, and workers that have a key already."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile

import pytest

import wire
from operator_socket import path_of, pipeline_state
from server import MILLRACE, bearer, example, make_tokens, wait_until

NUMBERS = "local/numbers:v1"
FAIR = ["--schedule", "fair"]
POLITE = [f"polite{i}" for i in range(9)]
SHORT_MS = 8


class Queue:
    """A server with one slot, which is held while runs are sent to wait behind it."""

    def __init__(self, server):
        self.server = server
        self.sent = {}

    @contextlib.contextmanager
    def held(self, headers=None):
        with self.server.stream(NUMBERS, 100000, "x", 20, headers=headers):
            yield

    def send(self, who, headers=None, **members):
        """A run that nobody waits for; its id."""
        answer = self.server.run(NUMBERS, 1, "x", SHORT_MS, headers=headers, async_run=True, **members)
        assert answer.status == 200, answer
        run_id = answer.json()["id"]
        self.sent[run_id] = who
        return run_id

    def ended(self, count, mark=0):
        """(who, milliseconds on the slot) of the first runs that ended, in their order."""
        pattern = r" run_end run=(run_\w+) .*waited_ms=(\d+) .*\bms=(\d+)"

        def ends():
            found = (re.search(pattern, line) for line in self.server.log_since(mark))
            return [(self.sent[m[1]], int(m[3]) - int(m[2])) for m in found if m and m[1] in self.sent]

        wait_until(lambda: len(ends()) >= count, timeout_s=50)
        return ends()[:count]


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    names = ["flood", *POLITE]
    return path, dict(zip(names, make_tokens(path, *names)))


def class_starts(server, name):
    with contextlib.suppress(AssertionError):
        return server.metric(f'millrace_class_runs_started_total{{pipeline="{NUMBERS}",class="{name}"}}')
    return 0


# ---- tenants ------------------------------------------------------------------------------------------------------


def test_nine_polite_tokens_get_what_a_flood_gets(start, tokens):
    path, secrets = tokens
    server = start(example("numbers.so"), options=[*FAIR, "--token-file", str(path)])
    queue = Queue(server)
    with queue.held(bearer(secrets["flood"])):
        for _ in range(120):
            queue.send("flood", bearer(secrets["flood"]))
        for _ in range(6):
            for name in POLITE:
                queue.send(name, bearer(secrets[name]))
    used = dict.fromkeys(secrets, 0)
    left = dict.fromkeys(POLITE, 6)
    longest = 0
    # As long as all of them wait, nobody has got more than two runs, as long as the longest, more than another.
    # The flood begins with less, since its held run counts.
    for who, took_ms in queue.ended(120 + 6 * 9):
        used[who] += took_ms + 1
        longest = max(longest, took_ms + 1)
        if who in left:
            left[who] -= 1
        if min(left.values()) == 0:
            break
    most = max(used.values())
    assert used["flood"] <= min(used[name] for name in POLITE) + 3 * longest, used
    assert all(used[name] >= most - 3 * longest for name in POLITE), used


def test_tenants_are_those_that_a_header_names_and_of_each_the_first_is_first(start):
    server = start(example("numbers.so"), options=[*FAIR, "--tenant", "header X-Tenant"])
    queue = Queue(server)
    with queue.held({"X-Tenant": "a"}):
        flood = [queue.send(("a", i), {"X-Tenant": "a"}) for i in range(40)]
        polite = [queue.send(("b", i), {"X-Tenant": "b"}) for i in range(3)]
        assert server.metric(f'millrace_tenants{{pipeline="{NUMBERS}"}}') == 2
        # Of its own tenant's, whoever else waits.
        assert [server.get(f"/v4/runs/{run}").json()["queue_position"] for run in polite] == [0, 1, 2]
        assert server.get(f"/v4/runs/{flood[39]}").json()["queue_position"] == 39
    order = [who for who, _ in queue.ended(43)]
    for name in "ab":
        numbers = [number for tenant, number in order if tenant == name]
        assert numbers == sorted(numbers)
    assert order.index(("b", 0)) < 3 and order.index(("b", 2)) < 40
    wait_until(lambda: server.metric(f'millrace_tenants{{pipeline="{NUMBERS}"}}') == 0)


def test_more_tenants_than_places_are_bounded_and_all_are_served(start):
    server = start(example("numbers.so"), options=[*FAIR, "--tenant", "field", "--queue", "2000", "--concurrency", "64"])
    queue = Queue(server)
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(queue.held())
        for i in range(1300):
            queue.send(i, scheduling={"tenant": f"tenant {i}"})
        assert 1024 <= server.metric(f'millrace_tenants{{pipeline="{NUMBERS}"}}') <= 1034
    assert {who for who, _ in queue.ended(1300)} == set(range(1300))


# ---- classes ------------------------------------------------------------------------------------------------------


def test_interactive_runs_go_first_and_batch_is_not_starved(start, tokens):
    path, secrets = tokens
    server = start(example("numbers.so"), options=[*FAIR, "--token-file", str(path), "--token-class", "flood=batch"])
    queue = Queue(server)
    with queue.held(bearer(secrets["polite0"])):
        for _ in range(4):
            queue.send("batch", bearer(secrets["flood"]))
        for _ in range(40):
            queue.send("interactive", bearer(secrets["polite1"]))
        depths = [server.metric(f'millrace_class_queue_depth{{pipeline="{NUMBERS}",class="{name}"}}')
                  for name in ("interactive", "batch")]
        assert depths == [40, 4]
        fair = pipeline_state(server, NUMBERS)["fair"]
        assert fair == {"tenants": 3, "displaced": 0, "classes": [{"class": "interactive", "queued": 40},
                                                                 {"class": "batch", "queued": 4}]}
        shown = subprocess.run([MILLRACE, "ps", "--control", path_of(server)], capture_output=True, text=True, check=True)
        assert "\n  queued: interactive 40, batch 4; 3 tenants\n" in shown.stdout
    order = [who for who, _ in queue.ended(44)]
    assert order.index("batch") < 40  # its first one starts at once, since none of its class had a turn
    assert order[-2:] == ["batch", "batch"]  # those of the better class are through before
    assert (class_starts(server, "interactive"), class_starts(server, "batch")) == (41, 4)


def test_a_token_asks_for_no_better_class_than_its_own(start, tokens):
    path, secrets = tokens
    server = start(example("numbers.so"), options=[*FAIR, "--token-file", str(path), "--token-class", "flood=batch",
                                                   "--token-class", "polite1=0"])

    def run(name, headers=None, **members):
        assert server.run(NUMBERS, 1, "x", 0, headers={**bearer(secrets[name]), **(headers or {})}, **members).status == 200

    run("flood", {"X-Request-Class": "0"}, scheduling={"class": 1})
    assert class_starts(server, "batch") == 1
    run("flood", {"X-Request-Class": "9"})
    assert class_starts(server, "9") == 1
    run("polite0")
    run("polite0", scheduling={"class": 0})
    assert class_starts(server, "interactive") == 2
    run("polite1")
    assert class_starts(server, "0") == 1
    run("polite1", {"X-Request-Class": "3"}, scheduling={"class": "batch"})
    assert (class_starts(server, "3"), class_starts(server, "batch")) == (0, 2)


@pytest.mark.parametrize("said, expected", [(None, "interactive"), ("*=0", "1")])
def test_without_tokens_a_class_is_believed_only_where_that_is_said(start, said, expected):
    server = start(example("numbers.so"), options=[*FAIR, *(["--token-class", said] if said else [])])
    assert server.run(NUMBERS, 1, "x", 0, headers={"X-Request-Class": "1"}).status == 200
    assert class_starts(server, expected) == 1


def test_what_is_no_class_tenant_or_key_is_refused(start):
    server = start(example("numbers.so"), options=FAIR)
    for wrong in ("10", "-1", "Batch", "interactive ,", "0x1", "9" * 300):
        answer = server.run(NUMBERS, 1, "x", 0, headers={"X-Request-Class": wrong})
        assert (answer.status, answer.json()["detail"]) == (400, "X-Request-Class must be interactive, batch, or 0 to 9.")
    for wrong, where in (([], []), ({"class": 10}, ["class"]), ({"class": -1}, ["class"]), ({"class": 1.0}, ["class"]),
                         ({"class": "fast"}, ["class"]), ({"class": True}, ["class"]), ({"tenant": 5}, ["tenant"]),
                         ({"tenant": ""}, ["tenant"]), ({"tenant": "x" * 257}, ["tenant"]),
                         ({"affinity": "a\0b"}, ["affinity"])):
        answer = server.run(NUMBERS, 1, "x", 0, scheduling=wrong)
        assert answer.status == 422 and answer.json()["detail"][0]["loc"] == ["body", "scheduling", *where], answer
    for right in (None, {}, {"class": None, "tenant": None}, {"class": "batch", "tenant": "x" * 256, "other": 1}):
        assert server.run(NUMBERS, 1, "x", 0, scheduling=right).status == 200


def test_nobody_looks_at_classes_where_nothing_is_fair(start):
    server = start(example("numbers.so"))
    assert server.run(NUMBERS, 1, "x", 0, headers={"X-Request-Class": "nonsense"}).status == 200
    assert "millrace_class" not in server.get("/metrics").body.decode()


# ---- a full queue -------------------------------------------------------------------------------------------------


def test_a_flood_that_fills_the_queue_makes_room_for_others(start):
    server = start(example("numbers.so"), options=[*FAIR, "--tenant", "header X-Tenant", "--queue", "6"])
    queue = Queue(server)
    a, b = {"X-Tenant": "a"}, {"X-Tenant": "b"}
    with contextlib.ExitStack() as stack:
        with queue.held(a):
            flood = []
            for i in range(6):
                flood.append(stack.enter_context(server.connect()))
                flood[-1].request("POST", "/v4/runs", wire.run_body(NUMBERS, (1, "x", SHORT_MS)), headers=a)
                wait_until(lambda n=i + 1: server.pipeline(NUMBERS)["queued"] == n)
            assert server.run(NUMBERS, 1, "x", 0, headers=a).status == 429
            for i in range(3):
                queue.send(("b", i), b)
                answer = flood[5 - i].response()
                line = wire.check_line(answer.body)
                assert answer.status == 429 and int(answer.header("Retry-After")) >= 1
                assert line["state"] == "no_resources_available"
                assert line["error"]["message"] == "displaced: the queue is full, and others have fewer runs in it"
            # Three each: whoever comes now has as many as the other, and is refused.
            for headers in (a, b):
                answer = server.run(NUMBERS, 1, "x", 0, headers=headers)
                assert answer.status == 429 and "queue of this pipeline is full" in answer.json()["error"]["message"]
            assert server.pipeline(NUMBERS)["queued"] == 6
            assert server.metric(f'millrace_runs_displaced_total{{pipeline="{NUMBERS}"}}') == 3
        assert [flood[i].response().status for i in range(3)] == [200, 200, 200]
    assert len(queue.ended(3)) == 3


# ---- what may happen to those that wait ---------------------------------------------------------------------------


def test_runs_that_wait_are_cancelled_expire_and_survive_a_worker(start):
    server = start(example("numbers.so"), options=[*FAIR, "--tenant", "field"])
    queue = Queue(server)
    with queue.held():
        kept = [queue.send(i, scheduling={"tenant": f"t{i % 3}"}) for i in range(9)]
        for run in kept[:3]:
            assert server.ask("DELETE", f"/v4/runs/{run}").status == 200
        late = server.run(NUMBERS, 1, "x", 0, headers={"X-Request-Timeout": "0.05"}, scheduling={"tenant": "t0"})
        assert late.status == 504
        assert server.pipeline(NUMBERS)["queued"] == 6
        os.kill(server.workers(NUMBERS)[0]["pid"], signal.SIGKILL)
        for run in kept[3:]:
            server.wait_run_end(run)
    assert [server.get(f"/v4/runs/{run}").json()["state"] for run in kept] == ["failed"] * 3 + ["completed"] * 6
    wait_until(lambda: server.metric(f'millrace_tenants{{pipeline="{NUMBERS}"}}') == 0)


def test_a_reload_changes_the_schedule_of_those_that_wait(start):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "millrace.yaml")

        def say(**options):
            lines = "".join(f"    {key}: {value}\n" for key, value in options.items())
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"pipelines:\n  {NUMBERS}:\n    source: {example('numbers.so')}\n{lines}")

        def reload():
            mark = server.log_mark()
            server.signal(signal.SIGHUP)
            server.wait_log(r" reload_end .* changed=1 .* failed=0 ", mark)

        say(queue=100)
        server = start(options=["-c", path])
        queue = Queue(server)
        with queue.held():
            for i in range(20):
                queue.send(("before", i), scheduling={"tenant": "a"})
            say(queue=100, schedule="fair", tenant="field", affinity="field")
            reload()
            for i in range(20):
                queue.send(("after", i), scheduling={"tenant": "b"})
            assert server.metric(f'millrace_tenants{{pipeline="{NUMBERS}"}}') == 2
        order = [who for who, _ in queue.ended(40)]
        assert sorted(order) == sorted((word, i) for word in ("before", "after") for i in range(20))
        assert order.index(("after", 0)) < 20
        with queue.held():
            for i in range(10):
                queue.send(("fair", i), scheduling={"tenant": f"t{i % 5}"})
            say(queue=100)
            reload()
            for i in range(10):
                queue.send(("fifo", i))
            mark = server.log_mark()
        assert [who for who, _ in queue.ended(20, mark)] == [(word, i) for word in ("fair", "fifo") for i in range(10)]


# ---- affinity -----------------------------------------------------------------------------------------------------


def affinity_counts(server):
    return [server.metric(f'millrace_affinity_runs_total{{pipeline="{NUMBERS}",result="{result}"}}')
            for result in ("hit", "miss", "diverted")]


def worker_of(server, run_id):
    return server.get(f"/v4/runs/{run_id}").json()["worker"]


def run_with(server, key, **members):
    answer = server.run(NUMBERS, 1, key, 0, **members)
    assert answer.status == 200
    return worker_of(server, answer.json()["id"])


@pytest.mark.parametrize("affinity, said", [
    ("field", lambda key: {"scheduling": {"affinity": key}}),
    ("header X-Session", lambda key: {"headers": {"X-Session": key}}),
    ("prefix 8", lambda key: {}),
])
def test_runs_of_one_key_go_to_one_worker_until_its_process_is_gone(start, affinity, said):
    server = start(example("numbers.so"), options=["--workers", "4", "--affinity", affinity])
    keys = [f"key {i:04}" for i in range(8)]
    with contextlib.ExitStack() as stack:
        # So that not all go to the first worker.
        first = {}
        for i in range(4):
            stream = stack.enter_context(server.stream(NUMBERS, 100000, keys[i] + " and more", 20, **said(keys[i])))
            first[keys[i]] = worker_of(server, stream.next()["id"])
    assert sorted(first.values()) == [0, 1, 2, 3]
    for _ in range(3):
        for key, worker in first.items():
            wait_until(lambda w=worker: server.workers(NUMBERS)[w]["active"] == 0)
            assert run_with(server, key + " whatever follows", **said(key)) == worker
    assert affinity_counts(server) == [12, 4, 0]
    dead = first[keys[3]]
    pid = server.workers(NUMBERS)[dead]["pid"]
    mark = server.log_mark()
    os.kill(pid, signal.SIGKILL)
    server.wait_worker(NUMBERS, dead, pid, mark)
    assert run_with(server, keys[3], **said(keys[3])) == 0  # any would do: the first of those with nothing
    assert affinity_counts(server) == [12, 5, 0]


def test_a_worker_that_is_too_busy_is_left_out(start):
    server = start(example("numbers.so"), options=["--workers", "2", "--concurrency", "4", "--affinity", "field",
                                                   "--affinity-load", "1"])
    key = {"scheduling": {"affinity": "k"}}
    with contextlib.ExitStack() as stack:
        workers = []
        for _ in range(4):
            stream = stack.enter_context(server.stream(NUMBERS, 100000, "x", 20, **key))
            workers.append(worker_of(server, stream.next()["id"]))
    # The second still goes to the first's; with one more than the other one, it is too busy for the third.
    assert workers[:2] == [0, 0] and workers[2] == 1
    assert affinity_counts(server)[1:] == [1, 1]


def test_large_requests_say_what_small_ones_do(start):
    server = start(example("numbers.so"), options=[*FAIR, "--workers", "2", "--tenant", "field", "--affinity", "field",
                                                   "--token-class", "*=0"])
    large = "x" * (3 << 20)
    for _ in range(2):
        assert server.run(NUMBERS, 1, large, 0, scheduling={"class": "batch", "tenant": "t", "affinity": "k"}).status == 200
    assert class_starts(server, "batch") == 2
    assert affinity_counts(server) == [1, 1, 0]
    answer = server.run(NUMBERS, 1, large, 0, scheduling={"class": 11})
    assert answer.status == 422 and answer.json()["detail"][0]["loc"] == ["body", "scheduling", "class"]


def test_a_prefix_is_found_in_a_large_request_too(start):
    server = start(example("numbers.so"), options=["--workers", "2", "--affinity", "prefix 65536"])
    for size in (70000, 1 << 20, 5 << 20):
        assert server.run(NUMBERS, 1, "y" * size, 0).status == 200
    assert affinity_counts(server) == [2, 1, 0]
