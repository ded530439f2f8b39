# SPDX-License-Identifier: MIT
"""How much work a step of an engine takes up: what its operator says, from the next step on."""

import signal

import wire
from server import example, wait_until

POINTER = "local/prefill:v1"
STEPS = "millrace_step_duration_seconds"
# Of the example, when nothing is said.
OTHERWISE = 256


def step_count(server):
    families = server.metrics()
    return families[STEPS].samples["_count", (("pipeline", POINTER),)] if STEPS in families else 0


def rest(server):
    """The number of steps, when there are no more of them."""
    last = -1

    def is_still():
        nonlocal last
        before, last = last, step_count(server)
        return before == last
    wait_until(is_still)
    return last


def steps_for(server, prompt_tokens):
    """How many the prompt took that is taken up, by as many steps as it took and one for each token that is said."""
    before = rest(server)
    prompt = " ".join(f"w{i}" for i in range(prompt_tokens))
    with server.stream(POINTER, prompt) as stream:
        said = [wire.output_of(line) for line in stream.all()]
    assert said == prompt.split()[::-1]
    return rest(server) - before - prompt_tokens


def test_a_long_prompt_is_taken_up_in_as_many_steps_as_the_budget_asks_for(start):
    server = start(example("prefill.so"), options=["--step-budget", "10"])
    assert steps_for(server, 95) == 10
    assert steps_for(server, 10) == 1


def test_where_no_budget_is_said_the_engine_has_its_own(start):
    server = start(example("prefill.so"))
    assert steps_for(server, OTHERWISE + 1) == 2


def test_a_budget_that_no_prompt_reaches_changes_nothing(start):
    server = start(example("prefill.so"), options=["--step-budget", "4294967295"])
    assert steps_for(server, 1000) == 1


def test_others_have_a_value_in_each_step_of_a_long_prompt(start):
    server = start(example("prefill.so"), options=["--concurrency", "4", "--step-budget", "1000", "--window", "1g"])
    with server.stream(POINTER, "a " * 40000) as speaking:
        first = speaking.next()
        with server.stream(POINTER, "b " * 9000) as late:
            late.next()
        assert server.get(f"/v4/runs/{first['id']}").json()["state"] == "running", "it spoke all the time"
    rest(server)
    # The prompt that came first was taken up in steps without a value, the late one in none.
    assert server.metrics()["millrace_step_values"].samples["_bucket", (("le", "0.0"), ("pipeline", POINTER))] == 40


def test_another_budget_holds_from_the_next_step_on_in_the_same_process(start, tmp_path):
    config = tmp_path / "millrace.yaml"

    def say(units):
        config.write_text(f"pipelines: {{{POINTER}: {{source: {example('prefill.so')}, step-budget: {units}}}}}\n")

    say(10)
    server = start(options=["--config", str(config)])
    [worker] = server.workers(POINTER)
    assert steps_for(server, 100) == 10
    for units, steps in ((50, 2), (0, 1), (1, 100)):
        say(units)
        mark = server.log_mark()
        server.signal(signal.SIGHUP)
        server.wait_log(" reload_end .*changed=1", mark)
        assert steps_for(server, 100) == steps
    assert [w["pid"] for w in server.workers(POINTER)] == [worker["pid"]]


def test_workers_that_start_later_have_it_too(start):
    server = start(example("prefill.so"), options=["--step-budget", "5", "--recycle-runs", "1"])
    for _ in range(3):
        assert steps_for(server, 20) == 4
