# SPDX-License-Identifier: MIT
"""answers - runs of the example, what they are asked and what they say."""

import concurrent.futures
import re
import subprocess

import wire

LLAMA, EMBEDDINGS = "local/llama:v1", "local/embeddings:v1"
CONTEXT = 512


class Bare:
    """The loop without a server."""

    def __init__(self, program, model, libraries):
        self.program, self.model, self.libraries = program, model, libraries
        self.first_ms = self.tokens_per_s = None

    def __call__(self, *prompts, count=40, temperature=0.8, seed=7, context=CONTEXT):
        """Tokens for each prompt, of which the first one has that seed, the next one one more, and so on."""
        command = [self.program, self.model, self.libraries, str(context), str(count), str(temperature), str(seed), *prompts]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
        *lines, last = run.stdout.splitlines()
        self.first_ms, self.tokens_per_s = map(float, re.fullmatch(r"first_ms=(\S+) tokens_per_s=(\S+)", last).groups())
        return [[int(token) for token in line.split()] for line in lines]


class Answer:
    """All that a run said."""

    def __init__(self, lines):
        self.error = lines[-1]["error"] if lines else None
        self.values = [wire.output_of(line) for line in lines if line["error"] is None]
        self.text = "".join(value["text"] for value in self.values)
        self.tokens = [one["token"] for value in self.values for one in value.get("logprobs", [])]
        last = self.values[-1] if self.values else {}
        self.reason, self.usage, self.seed = (last.get(name) for name in ("finish_reason", "usage", "seed"))


def inputs(prompt, messages=None, **options):
    return [prompt, messages, wire.as_input({"type": "dictionary", "value": options})]


def open_stream(server, prompt, messages=None, pointer=LLAMA, **options):
    return wire.Stream(server.connect(), wire.run_body(pointer, inputs(prompt, messages, **options)))


def ask(server, prompt, messages=None, pointer=LLAMA, **options):
    with open_stream(server, prompt, messages, pointer, **options) as stream:
        return Answer(stream.all())


def finish(stream):
    with stream:
        return Answer(stream.all())


def finish_all(streams):
    with concurrent.futures.ThreadPoolExecutor(max(1, len(streams))) as pool:
        return list(pool.map(finish, streams))


def refused(server, prompt, messages=None, **options):
    """The message of an input error, which comes instead of an answer."""
    return refusal(server, LLAMA, *inputs(prompt, messages, **options))


def refusal(server, pointer, *values):
    response = server.run(pointer, *values)
    error = response.json()["error"]
    assert response.status == 400 and error["type"] == "input_error", (response.status, error)
    return error["message"]
