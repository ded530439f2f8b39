# SPDX-License-Identifier: MIT
"""Whatever an engine in Python and its clients do, each run ends once, as was foretold, and the others are whole."""

import importlib.util
import os
import random
import threading
import time

import wire
from test_python_worker import HERE, pointer, pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

STORM = os.path.join(HERE, "pipelines", "engine_storm.py")
THREAD_COUNT = 24
RUN_COUNT = int(os.environ.get("RUNS", "400"))

spec = importlib.util.spec_from_file_location("engine_storm", STORM)
pipeline = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pipeline)

ERRORS = {"fail": ("pipeline_error", "failed {}"), "refuse": ("input_error", "refused {}"),
          "raise in admit": ("input_error", "raised {}"),
          "unsendable": ("pipeline_error", "TypeError: chunk {chunk} of type set cannot be sent as JSON")}


def check_end(plan, seed, values, error):
    """Of a run that was read to its end."""
    assert values == list(range(len(values))), "its values are not in order"
    if error is not None and error["type"] == "oom":
        assert error["message"] == "MemoryError('all of them')"
        return "all"
    assert plan.end != "for ever"
    assert len(values) == plan.count
    if plan.end == "finish":
        assert error is None
    else:
        kind, message = ERRORS[plan.end]
        assert (error["type"], error["message"]) == (kind, message.format(seed, chunk=plan.count + 1))
    return plan.end


def play(server, chance):
    """One run, whose client reads to the end, leaves, or does not read for a while. What came of it."""
    seed = chance.randrange(1 << 30)
    plan = pipeline.Plan(seed)
    leaves_after = chance.randrange(200) if plan.end == "for ever" or chance.random() < 0.2 else None
    pauses = chance.random() < 0.3
    receive = {"receive_buffer_bytes": 4096} if pauses else {}
    with wire.Stream(server.connect(**receive), wire.run_body(pointer("storm"), [seed])) as stream:
        values, error, count = [], None, 0
        while leaves_after is None or count < leaves_after:
            line = next(iter(stream), None)
            if line is None:
                return check_end(plan, seed, values, error)
            error = line["error"]
            if error is None:
                values.append(line["outputs"][0]["value"][0])
            count += 1
            if pauses and count == 1:
                time.sleep(chance.random() * 0.2)
    assert values == list(range(len(values)))
    return "left"


def test_each_run_ends_as_its_seed_foretells_whatever_becomes_of_the_others(start):
    server = start(f"{pointer('storm')}={STORM}:storm",
                   options=["--concurrency", "16", "--window", "16k", "--queue", "1000"])
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print("SEED =", seed)
    results, failures = [], []

    def work(number):
        chance = random.Random(f"{seed} {number}")
        try:
            for _ in range(RUN_COUNT // THREAD_COUNT):
                results.append(play(server, chance))
        except BaseException as failure:  # told by the test
            failures.append(failure)
            raise

    threads = [threading.Thread(target=work, args=[number]) for number in range(THREAD_COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    print({what: results.count(what) for what in set(results)})
    assert {"finish", "left"} <= set(results)
    assert not [line for line in server.log if "VIOLATION" in line]
    assert server.workers(pointer("storm"))[0]["pid"], "the worker has gone on"
