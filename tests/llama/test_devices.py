# SPDX-License-Identifier: MIT
"""llama.cpp on four Vulkan devices: a worker each, which sees its own alone, and says what the CPU says."""

import concurrent.futures
import os
import re
import signal
import time

import pytest

import wire
from answers import LLAMA, Answer, open_stream

COUNT = 4
# Of nine tokens and more, a byte each, for which there is one set of shaders.
PROMPTS = ("Hello world!", "abcdefghijklmnop", "3.1415926535", "To be, or not to be")
TOKENS = 24
# The first start compiles shaders.
START_S = 240

pytestmark = pytest.mark.bounded(2 * START_S)


def serving(start, llama, *options):
    server = start(f"{LLAMA}={llama.source}:llama", wait=False, options=llama.options("--start-timeout", f"{START_S}s", *options))
    server.wait_log(f" pipeline_served pipeline={LLAMA} ", timeout_s=START_S)
    return server.wait_ready()


@pytest.fixture(scope="module")
def cpu(start_shared, llama):
    return serving(start_shared, llama, "--devices", "none")


@pytest.fixture(scope="module")
def server(start_shared, llama):
    """One worker after another begins, so that the first one compiles for all."""
    server = serving(start_shared, llama, "--devices", f"vulkan:x{COUNT}", "--load-parallel", "1")
    for number in range(COUNT):
        server.wait_log(f" worker_ready pipeline={LLAMA} worker={number} ", timeout_s=START_S)
    return server


def opened(server, prompt, count=TOKENS):
    return open_stream(server, prompt, max_tokens=count, temperature=0, logprobs=0)


def tokens(server, prompt, count=TOKENS):
    with opened(server, prompt, count) as stream:
        return Answer(stream.all()).tokens


@pytest.fixture(scope="module")
def expected(cpu):
    """What the CPU says."""
    return {prompt: tokens(cpu, prompt) for prompt in PROMPTS}


def seen(server, since=0):
    """What ggml counts in each worker: {number: ["NAME, DESCRIPTION"]}."""
    devices = {}
    for line in server.log_since(since, '"ggml device '):
        match = re.search(r' worker=(\d) .*"ggml device (\d) of (\d): (.*)"$', line)
        if match[2] == "0":
            devices[int(match[1])] = []
        devices[int(match[1])].append(match[4])
        assert int(match[2]) < int(match[3])
    return devices


def test_each_worker_sees_its_own_device_alone_and_the_processor(server):
    names = []
    for number, devices in seen(server).items():
        gpu, processor = devices
        name = re.fullmatch(r"Vulkan0, (device \d) \(LLVM .*\)", gpu)
        assert name and processor.startswith("CPU, "), (number, devices)
        names.append(name[1])
    assert sorted(names) == [f"device {number}" for number in range(COUNT)]


def test_a_worker_without_a_device_sees_the_processor_alone(cpu):
    assert [len(devices) for devices in seen(cpu).values()] == [1] and seen(cpu)[0][0].startswith("CPU, ")


def test_the_cpu_says_something_else_to_each_prompt(expected):
    assert len({tuple(said) for said in expected.values()}) == len(PROMPTS)
    assert all(len(set(said)) > TOKENS / 3 for said in expected.values())


def test_each_device_says_what_the_cpu_says(server, expected, figure):
    for prompt in PROMPTS[:2]:
        streams = [opened(server, prompt) for _ in range(COUNT)]
        assert [worker["active"] for worker in server.workers(LLAMA)] == [1] * COUNT
        with concurrent.futures.ThreadPoolExecutor(COUNT) as pool:
            began_s = time.monotonic()
            said = [Answer(lines).tokens for lines in pool.map(wire.Stream.all, streams)]
            took_s = time.monotonic() - began_s
        assert said == [expected[prompt]] * COUNT
        for stream in streams:
            stream.close()
    figure(f"{COUNT * TOKENS / took_s:.0f} tokens/s of {COUNT} devices")


def test_how_fast_the_cpu_and_one_device_are(server, cpu, expected, figure):
    for name, one in (("the CPU", cpu), ("one device", server)):
        began_s = time.monotonic()
        assert tokens(one, PROMPTS[0]) == expected[PROMPTS[0]]
        figure(f"{TOKENS / (time.monotonic() - began_s):.0f} tokens/s of {name}")


def test_a_killed_worker_costs_its_own_stream_and_the_next_one_has_its_device(server, expected, figure):
    with opened(server, PROMPTS[0], 4000) as lost:
        lost.next()
        victim, = [worker for worker in server.workers(LLAMA) if worker["active"]]
        device = seen(server)[victim["index"]]
        others = [opened(server, prompt) for prompt in PROMPTS[1:]]
        firsts = [stream.next() for stream in others]
        mark, killed_s = server.log_mark(), time.monotonic()
        os.kill(victim["pid"], signal.SIGKILL)
        error = lost.all()[-1]["error"]
        figure(f"the error line came after {1000 * (time.monotonic() - killed_s):.1f} ms")
        with concurrent.futures.ThreadPoolExecutor(COUNT) as pool:
            rests = list(pool.map(wire.Stream.all, others))
    assert error["type"] == "pipeline_error" and "SIGKILL" in error["message"]
    for prompt, stream, first, rest in zip(PROMPTS[1:], others, firsts, rests):
        assert Answer([first, *rest]).tokens == expected[prompt]
        stream.close()
    took = server.wait_log(rf" worker_ready pipeline={LLAMA} worker={victim['index']} pid=\d+ ms=(\d+)", mark, timeout_s=START_S)
    figure(f"the next one was ready in {int(took[1]) / 1000:.1f} s")
    assert seen(server, mark) == {victim["index"]: device}
    streams = [opened(server, PROMPTS[0]) for _ in range(COUNT)]
    assert [Answer(stream.all()).tokens for stream in streams] == [expected[PROMPTS[0]]] * COUNT
    for stream in streams:
        stream.close()
