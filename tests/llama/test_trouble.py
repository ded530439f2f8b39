# SPDX-License-Identifier: MIT
"""Runs that fail, leave, stall or lose their worker, and the others of the batch, which say what they say alone."""

import os
import signal
import threading
import time

import pytest

import wire
from answers import CONTEXT, LLAMA, Answer, ask, finish, finish_all, inputs, open_stream, refused
from server import wait_until

STREAMS = 32
COUNT = 120
LONG = "And the LORD spake unto Moses, saying, " * 600
# After the "a" there is no character that it takes, and no end either.
DEAD_END = 'root ::= "a" [^\\x00-\\U7FFFFFFF]'
SECONDS = float(os.environ.get("SECONDS", "6"))
START_S = 240
STEPS = f'millrace_step_duration_seconds_count{{pipeline="{LLAMA}"}}'

pytestmark = pytest.mark.bounded(240)


@pytest.fixture(scope="module")
def server(start_shared, trained):
    return start_shared(f"{LLAMA}={trained.source}:llama",
                        options=trained.options("--workers", "1", "--log-level", "debug", LLAMA_CONTEXT=8192, LLAMA_PARALLEL=STREAMS))


@pytest.fixture(scope="module")
def alone(bare):
    """What the bare loop says to each prompt alone, with the seed of its place."""
    return [bare(prompt_of(i), count=COUNT, seed=i)[0] for i in range(STREAMS)]


def prompt_of(i):
    return f"And {i} of them went up, and"


def opened(server, i, count=COUNT, **options):
    return open_stream(server, prompt_of(i), max_tokens=count, seed=i, logprobs=0, **options)


def stalled(server, prompt):
    """A run whose client reads nothing, once its answer has begun."""
    connection = server.connect(receive_buffer_bytes=4096)
    return wire.Stream(connection, wire.run_body(LLAMA, inputs(prompt, max_tokens=6000, logprobs=20)))


def test_one_fails_one_leaves_one_stalls_and_the_others_are_exact(server, alone):
    with stalled(server, "Behold") as stall, open_stream(server, "Behold", max_tokens=8000) as leaving, \
            open_stream(server, "Behold", max_tokens=8000, grammar=DEAD_END) as failing:
        others = [opened(server, i) for i in range(STREAMS - 3)]
        stall.next()
        run_id, mark = leaving.next()["id"], server.log_mark()
        leaving.close()
        assert [answer.tokens for answer in finish_all(others)] == alone[:STREAMS - 3]
        failed = Answer(failing.all())
        assert failed.text.startswith("a") and "grammar" in failed.error["message"]
        assert "state=cancelled" in server.wait_run_end(run_id, mark)
    # Places and parts of the context are free again.
    assert [answer.tokens for answer in finish_all([opened(server, i) for i in range(STREAMS)])] == alone


def test_a_run_that_leaves_while_its_prompt_is_read_stops_the_step_and_changes_nothing(server, alone, figure):
    others = [opened(server, i, 500) for i in range(8)]
    for stream in others:
        stream.next()
    took_ms = []
    for i in range(6):
        connection = server.connect()
        connection.send(wire.post(wire.run_body(LLAMA, inputs(f"{i} {LONG}", max_tokens=5))))
        wait_until(lambda: server.workers(LLAMA)[0]["active"] == 9)
        seen = server.metric(STEPS)
        wait_until(lambda: server.metric(STEPS) >= seen + 2)  # it is in, and read
        left_s = time.monotonic()
        connection.reset()
        wait_until(lambda: server.workers(LLAMA)[0]["active"] == 8)
        took_ms.append(1000 * (time.monotonic() - left_s))
    for i, answer in enumerate(map(finish, others)):
        said = alone[i][1:]
        assert answer.tokens[:len(said)] == said
    stopped = len(server.log_since(0, "a step was stopped"))
    assert stopped > 0
    figure(f"{stopped} steps were stopped; from the reset until its place was free {sorted(took_ms)[3]:.0f} ms, {max(took_ms):.0f} ms at most")


def test_of_two_workers_one_is_killed_and_the_runs_of_the_other_are_exact(start, trained, alone):
    server = start(f"{LLAMA}={trained.source}:llama", options=trained.options("--workers", "2", LLAMA_CONTEXT=CONTEXT, LLAMA_PARALLEL=STREAMS))
    streams = [opened(server, i) for i in range(STREAMS)]
    firsts = [stream.next() for stream in streams]
    victim = server.workers(LLAMA)[0]
    os.kill(victim["pid"], signal.SIGKILL)
    lost = 0
    for i, answer in enumerate(finish_all(streams)):
        said = [one["token"] for one in wire.output_of(firsts[i])["logprobs"]] + answer.tokens
        if answer.error:
            lost += 1
            assert answer.error["type"] == "pipeline_error" and said == alone[i][:len(said)]
        else:
            assert said == alone[i]
    assert lost == STREAMS // 2


def test_a_thousand_runs_come_at_once_and_all_end(server):
    with_error = []

    def come(i):
        answer = ask(server, prompt_of(i), max_tokens=4)
        if answer.error or answer.usage["completion_tokens"] not in range(1, 5):
            with_error.append((i, answer.error))

    threads = [threading.Thread(target=lambda first=first: [come(i) for i in range(first, 1000, 50)]) for first in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert with_error == []


@pytest.mark.parametrize("content, word", [(None, "No such file"), (b"", "cannot be loaded"), (b"GGUF", "cannot be loaded"),
                                           (b"\x7fELF" * 1000, "cannot be loaded"), (20000, "cannot be loaded")])
def test_a_model_that_cannot_be_read_is_a_startup_error_that_says_so(start, trained, tmp_path, content, word):
    path = tmp_path / "model.gguf"
    if isinstance(content, int):
        with open(trained.model, "rb") as file:
            content = file.read()[:content]
    if content is not None:
        path.write_bytes(content)
    server = start(f"{LLAMA}={trained.source}:llama", wait=False, options=trained.options(LLAMA_MODEL=path))
    failed = server.wait_log(f" pipeline_failed pipeline={LLAMA} .*")
    assert "type=startup_error" in failed[0] and word in failed[0] and str(path) in failed[0]


@pytest.mark.parametrize("name, value", [("LLAMA_CONTEXT", "1"), ("LLAMA_PARALLEL", "257"), ("LLAMA_PARALLEL", "many"), ("LLAMA_KV_TYPE", "f8"),
                                         ("LLAMA_BATCH", "0"), ("LLAMA_LIBRARY", "/nowhere"), ("LLAMA_MODEL", "")])
def test_a_variable_that_cannot_be_is_a_startup_error_that_names_it(start, trained, name, value):
    server = start(f"{LLAMA}={trained.source}:llama", wait=False, options=trained.options(**{name: value}))
    failed = server.wait_log(f" pipeline_failed pipeline={LLAMA} .*")
    assert "type=startup_error" in failed[0] and (name if name != "LLAMA_LIBRARY" else value) in failed[0]


def test_the_least_of_everything_works(start, trained):
    server = start(f"{LLAMA}={trained.source}:llama", options=trained.options(LLAMA_CONTEXT=16, LLAMA_PARALLEL=1, LLAMA_BATCH=1))
    answers = finish_all([open_stream(server, "a", max_tokens=4) for _ in range(5)])
    assert all(answer.usage["completion_tokens"] in range(1, 5) for answer in answers)
    assert "context" in refused(server, "a b c d e f g h i j k l m n o p")


# ---- two devices ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(start_shared, llama):
    options = llama.options("--devices", "vulkan:x2", "--load-parallel", "1", "--start-timeout", f"{START_S}s", LLAMA_CONTEXT=256,
                            LLAMA_PARALLEL=STREAMS // 2, VK_ICD_FILENAMES=":".join(llama.variables["VK_ICD_FILENAMES"].split(":")[:2]))
    server = start_shared(f"{LLAMA}={llama.source}:llama", wait=False, options=options)
    server.wait_log(f" pipeline_served pipeline={LLAMA} ", timeout_s=START_S)
    for number in range(2):
        server.wait_log(f" worker_ready pipeline={LLAMA} worker={number} ", timeout_s=START_S)
    return server.wait_ready()


def storm(server, until_s, answers):
    """Runs one after another. Both devices are needed for all that come at once."""
    while time.monotonic() < until_s:
        answers.append(ask(server, "To be, or not to be", max_tokens=8, temperature=0, logprobs=0))


@pytest.mark.bounded(2 * START_S + 10 * SECONDS)
def test_a_worker_killed_each_second_costs_the_runs_of_its_device_and_no_others(two, figure):
    expected = ask(two, "To be, or not to be", max_tokens=8, temperature=0, logprobs=0).tokens
    _, kept = sorted(two.workers(LLAMA), key=lambda worker: worker["index"])
    answers, until_s = [[] for _ in range(STREAMS)], time.monotonic() + SECONDS
    threads = [threading.Thread(target=storm, args=(two, until_s, own)) for own in answers]
    for thread in threads:
        thread.start()
    kills = 0
    while time.monotonic() < until_s:
        for worker in two.workers(LLAMA):
            if worker["index"] == 0 and two.log_since(0, f" worker_ready .* pid={worker['pid']} "):
                os.kill(worker["pid"], signal.SIGKILL)
                kills += 1
        time.sleep(1)  # the pace of the kills
    for thread in threads:
        thread.join()
    whole = [answer for own in answers for answer in own]
    lost = [answer for answer in whole if answer.error]
    assert all(answer.error["type"] == "pipeline_error" for answer in lost)
    assert all(answer.tokens == expected for answer in whole if not answer.error)
    assert all(answer.tokens == expected[:len(answer.tokens)] for answer in lost)
    assert [worker["pid"] for worker in two.workers(LLAMA) if worker["index"] == 1] == [kept["pid"]]
    figure(f"{kills} kills, {len(whole)} runs, {len(lost)} of them lost")
