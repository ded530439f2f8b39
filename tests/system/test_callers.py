# SPDX-License-Identifier: MIT
"""Several callers of one server, each with a token: what one of them does is nobody else's."""

import contextlib
import re

import pytest

import wire
from server import bearer, example, make_tokens, wait_until

NUMBERS = "local/numbers:v1"
NOTHING = "run_" + "0" * 32


@pytest.fixture
def callers(start, tmp_path):
    """callers(OPTION...) is a server and the headers of its two callers."""

    def made(*options):
        tokens = make_tokens(tmp_path / "tokens", "alice", "bob")
        server = start(example("numbers.so"), options=["--token-file", str(tmp_path / "tokens"), *options])
        return server, *(bearer(token) for token in tokens)

    return made


def begin(server, caller, text, count=1, ms=0):
    """An asynchronous run; its id."""
    answer = server.run(NUMBERS, count, text, ms, headers=caller, async_run=True)
    assert answer.status == 200
    return answer.json()["id"]


def look(server, caller, run, method="GET"):
    """The status, and what else an answer tells: all of it but the time and the request's own id."""
    answer = server.ask(method, f"/v4/runs/{run}", headers=caller)
    told = [(name, value) for name, value in answer.headers if name not in ("Date", "X-Request-Id", "X-Correlation-Id")]
    return answer.status, told, answer.body


def state(server, caller, run):
    return server.get(f"/v4/runs/{run}", caller).json()["state"]


def listed(server, caller):
    answer = server.get("/v4/runs", caller).json()
    assert answer["total"] == len(answer["data"])
    return [run["id"] for run in answer["data"]]


def test_a_run_of_another_token_is_like_one_that_never_was(callers):
    server, alice, bob = callers("--concurrency", "2", "--workers", "1")
    done = begin(server, alice, "SECRET")
    wait_until(lambda: state(server, alice, done) == "completed")
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(server.stream(NUMBERS, 100000, "x", 20, headers=alice))
        running = live.next()["id"]
        asked = begin(server, alice, "x", 100000, 20)
        waits = begin(server, alice, "x", 1, 0)
        assert [state(server, alice, run) for run in (running, asked, waits)] == ["running", "running", "queued"]
        for run in (done, running, asked, waits):
            for method in ("GET", "HEAD", "DELETE"):
                assert look(server, bob, run, method) == look(server, bob, NOTHING, method)
            assert look(server, bob, run)[0] == 404
            assert look(server, alice, run)[0] == 200
        assert listed(server, bob) == []
        assert listed(server, alice) == [waits, asked, running, done]
        # Nothing has happened to any of them.
        assert live.next()["state"] == "running"
        assert [state(server, alice, run) for run in (running, asked, waits)] == ["running", "running", "queued"]
        assert b"SECRET" in server.get(f"/v4/runs/{done}", alice).body
        assert server.metric(f'millrace_runs_cancelled_total{{pipeline="{NUMBERS}",cause="requested"}}') == 0
        for run in (asked, waits):
            assert server.ask("DELETE", f"/v4/runs/{run}", headers=alice).status == 200


def test_runs_that_were_refused_or_failed_are_their_callers_too(callers):
    server, alice, bob = callers()
    answer = server.run(NUMBERS, "not a number", "x", 0, headers=alice)
    assert answer.status == 400
    refused = answer.json()["id"]
    assert look(server, alice, refused)[0] == 200
    assert look(server, bob, refused) == look(server, bob, NOTHING)
    assert listed(server, bob) == []


def test_each_caller_lists_its_own_runs_among_those_of_all(callers):
    server, alice, bob = callers("--queue", "300")
    made = {"alice": [], "bob": []}
    with server.stream(NUMBERS, 100000, "x", 20, headers=bob) as live:
        made["bob"].append(live.next()["id"])
        for number in range(240):
            name, caller = ("alice", alice) if number % 3 else ("bob", bob)
            made[name].append(begin(server, caller, "x"))
        assert listed(server, alice) == made["alice"][::-1][:100]
        assert listed(server, bob) == made["bob"][::-1][:100]
    # The same when they have ended.
    wait_until(lambda: server.metric("millrace_runs") == 0)
    assert sorted(listed(server, bob)) == sorted(made["bob"][::-1][:81])
    assert set(listed(server, alice)) <= set(made["alice"]) and len(listed(server, alice)) == 100


def test_tokens_that_share_see_and_end_the_runs_of_all(callers):
    server, alice, bob = callers("--tokens-share")
    done = begin(server, alice, "SHARED")
    wait_until(lambda: state(server, bob, done) == "completed")
    assert b"SHARED" in server.get(f"/v4/runs/{done}", bob).body
    with server.stream(NUMBERS, 100000, "x", 20, headers=alice) as live:
        running = live.next()["id"]
        assert listed(server, bob) == listed(server, alice) == [running, done]
        assert server.ask("DELETE", f"/v4/runs/{running}", headers=bob).status == 200
        assert live.all()[-1]["error"]["message"] == "cancelled: DELETE was called for this run"
    # Who has none is still nobody.
    assert server.get(f"/v4/runs/{done}").status == 401


def test_what_all_may_see_names_no_run_and_none_of_its_values(callers):
    """Pipelines, workers and counts are common; ids, inputs, outputs and names of tokens are not."""
    server, alice, bob = callers("--log-level", "debug")
    done = begin(server, alice, "SECRET")
    wait_until(lambda: state(server, alice, done) == "completed")
    with server.stream(NUMBERS, 100000, "SECRET", 20, headers=alice) as live:
        ids = [done, live.next()["id"]]
        waits = server.stream(NUMBERS, 1, "x", 0, headers=bob)
        with waits:
            wait_until(lambda: len(listed(server, bob)) == 1)
            seen = [server.get(path, bob).body for path in ("/v4/runs", "/v4/pipelines", "/v4/pipelines/" + NUMBERS, "/status",
                                                            "/readyz", "/v4/container/state", "/metrics", "/")]
            [mine] = server.get("/v4/runs", bob).json()["data"]
            assert mine["queue_position"] == 0
            for text in seen:
                assert not re.search("SECRET|alice|bob|" + "|".join(ids), text.decode()), text


def test_results_are_kept_however_many_runs_others_make(callers):
    """There is room for 1,024 of all; who has most of them makes room."""
    server, alice, bob = callers()
    done = begin(server, alice, "x")
    wait_until(lambda: state(server, alice, done) == "completed")
    body = wire.run_body(NUMBERS, ["not a number", "x", 0])
    with server.connect() as connection:
        ids = []
        for _ in range(1100):
            connection.request("POST", "/v4/runs", body, bob)
            answer = connection.response()
            assert answer.status == 400
            ids.append(answer.json()["id"])
    assert b'"chunk":"x"' in server.get(f"/v4/runs/{done}", alice).body
    assert [look(server, bob, run)[0] for run in (ids[-1023], ids[-1024])] == [200, 404]
