# SPDX-License-Identifier: MIT
"""What the examples and the first page say, done as it stands there: the server is started with their
`serve` line, and a shell runs their `curl` line, or their `run` line. Only the port is another one."""

import glob
import json
import os
import re
import shlex
import subprocess

import pytest

import encoders
import server as servers
import stand_ins
from server import EXAMPLES, SLOWNESS, TOP

PORT = "127.0.0.1:8080"
FLAGS = "$(pkg-config --cflags millrace)"  # of what is installed
CURL_TIMEOUT_S = 30 * SLOWNESS
HAS_PYTHON = os.path.exists(os.path.join(servers.BUILD, "python/millrace_worker/_ring.abi3.so"))
SOURCES = sorted(os.path.relpath(path, TOP) for pattern in ("*.c", "*.cpp", "python/*.py", "python/*.md")
                 for path in glob.glob(os.path.join(TOP, "docs/examples", pattern)))
WORDS = [["hello "], ["there "]]
LETTERS = "Hello there"
SPREAD = [[row] for row in ([0, 0, 4, 8, 4, 0, 0, 0], [0, 1, 4, 6, 4, 1, 0, 0],
                            [0.25, 1.5, 3.75, 5, 3.75, 1.5, 0.25, 0])]


def numbers(lines):
    return [(value["i"], value["chunk"], set(value)) for value, in lines] == [
        (i, "x", {"i", "t_ns", "chunk"}) for i in range(5)]


def spelled(lines):
    """Words beside letters, and a dictionary that is the same on each line."""
    words = [*LETTERS.split(), *[None] * (len(LETTERS) - 2)]
    return [line[:2] for line in lines] == list(map(list, zip(words, LETTERS))) and all(
        line[2:] == lines[0][2:] and isinstance(line[2], dict) for line in lines)


def nearest(lines):
    """To the first axis: of 65,536 vectors between -1 and 1 some have nearly the whole of it."""
    [[found]] = lines
    return set(found) == {"index", "score"} and 0.99 < found["score"] <= 1


# What must come: the values of each line, or a function that says whether they are right.
ANSWERS = {
    "docs/examples/cuda.c": [[[0.5, 1.25, -1.5]], [[1.0, 2.5, -3.0]], [[1.5, 3.75, -4.5]]],
    "docs/examples/echo.c": [[1], [[True, None, "x"]]],
    "docs/examples/embed.c": lambda lines: len(lines) == 1 and [len(vector) for vector in lines[0][0]] == [encoders.WIDE] * 2,
    "docs/examples/engine.c": [[number] for number in (3, 10, 5, 16, 8, 4, 2, 1)],
    "docs/examples/matches.cpp": [["12"], ["11"]],
    "docs/examples/misbehave.c": [[0], [1], [2]],  # and an error line
    "docs/examples/nearest.c": nearest,
    "docs/examples/numbers.c": numbers,
    "docs/examples/ocr.c": lambda lines: [value["text"] for value, in lines] == ["Hello there"],
    "docs/examples/opencl.c": [[row] for row in ([1, 2, 3, 3, 3, 2], [1, 3, 4, 50, 50, 4], [50, 50, 50, 50, 50, 5],
                                                 [1, 3, 4, 50, 50, 4])],
    "docs/examples/prefill.c": [[word] for word in "reads some words and says them backwards".split()],
    "docs/examples/python/README.md": WORDS,
    "docs/examples/python/async_llm.py": [["slowly "], ["turns "], ["mill "]],
    "docs/examples/python/async_words.py": WORDS,
    "docs/examples/python/flood.py": numbers,
    "docs/examples/python/model.py": lambda lines: len(lines) == 40 and all(len(letter) == 1 for letter, in lines),
    "docs/examples/python/nearest.py": nearest,
    "docs/examples/python/numpy_engine.py": [[number] for number in (3, 10, 5, 16, 8, 4, 2, 1)],
    "docs/examples/python/schema.py":
        lambda lines: len(lines) == 4 and {word for word, in lines} <= {"to", "be", "or", "not"},
    "docs/examples/python/several_outputs.py": spelled,
    "docs/examples/python/torch_device.py": SPREAD,
    "docs/examples/python/torch_engine.py": SPREAD,
    "docs/examples/several.c": spelled,
    "docs/examples/transcribe.c": lambda lines: lines[-1] == [{"final": "go forward ten meters"}],
    "docs/examples/wake.c": [[2], [3], [5], [7], [11]],
    "docs/examples/words.c": WORDS,
}
# How those end that fail, as they are there to do.
ERRORS = {"docs/examples/misbehave.c": "SIGSEGV"}

# Those that want a device, weights or a picture, with what takes the place of them here.
STAND_INS = {"docs/examples/cuda.c": stand_ins.cuda, "docs/examples/embed.c": stand_ins.weights,
           "docs/examples/ocr.c": stand_ins.picture, "docs/examples/opencl.c": stand_ins.pocl,
           "docs/examples/python/torch_device.py": stand_ins.torch,
           "docs/examples/python/torch_engine.py": stand_ins.torch}

# The file that users have, byte for byte: it has no comment. README.md beside it has its line.
SILENT = {"docs/examples/python/my_module.py"}


def commands(source):
    """Its `serve`, `run` and `curl` lines, without what makes them a comment; a line that ends with a
    backslash, or inside quotes, goes on."""
    with open(os.path.join(TOP, source), encoding="utf-8") as file:
        lines = [re.sub(r"^ \* ?", "", line.rstrip("\n")) for line in file]
    found = {}
    for word in ("millrace serve ", "millrace run ", "curl "):
        starts = [number for number, line in enumerate(lines) if re.match(r"\s*(\S*/)?" + word, line)]
        if starts:
            found[word.split()[-1]] = whole_command(lines, starts[0])
    return found


def whole_command(lines, number):
    command = lines[number]
    while command.endswith("\\") or command.count("'") % 2:
        number += 1
        command += "\n" + lines[number]
    return command.strip()


def put_where_it_is_named(served, folder):
    """The file of a `serve` line, by its path there: one of build/examples or of the sources."""
    path = served.partition("=")[2] or served
    path = path.partition(":")[0]
    kind = EXAMPLES if path.endswith(".so") else os.path.join(TOP, "docs/examples/python")
    target = os.path.join(kind, os.path.basename(path))
    if not os.path.exists(target):
        pytest.skip(f"{path} was not built: what it needs is missing")
    os.makedirs(folder / os.path.dirname(path), exist_ok=True)
    os.symlink(target, folder / path)


@pytest.mark.parametrize("source", sorted(ANSWERS))
def test_the_line_that_asks_an_example_gets_what_the_example_says(source, tmp_path):
    if "/python/" in source and not HAS_PYTHON:
        pytest.skip("the extension was not built: python3-dev is missing")
    told = commands(source)
    assert set(told) in ({"serve", "curl"}, {"serve", "run"})
    asks = told.get("curl") or re.sub("^millrace run ", f"{servers.MILLRACE} run --url http://{PORT} ", told["run"])
    assert asks.count(PORT) == 1
    arguments = shlex.split(told["serve"])[2:]
    put_where_it_is_named(arguments[0], tmp_path)
    variables = STAND_INS[source](tmp_path) if source in STAND_INS else None
    with servers.Server(tmp_path, arguments, "--python", "/usr/bin/python3", environment=variables).wait_ready() as server:
        done = subprocess.run(["sh", "-c", asks.replace(PORT, server.address)], check=True, capture_output=True,
                              timeout=CURL_TIMEOUT_S, text=True, cwd=tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if source in ERRORS:
        assert ERRORS[source] in lines.pop()["error"]["message"]
    assert [line["error"] for line in lines] == [None] * len(lines)
    values = [[output["value"] for output in line["outputs"]] for line in lines]
    answer = ANSWERS[source]
    assert answer(values) if callable(answer) else values == answer


@pytest.mark.parametrize("language", ["c", "python"])
def test_the_curl_line_of_the_first_page_greets(language, tmp_path):
    """It has one for its pipeline in C; that in Python has the same name."""
    if language == "python" and not HAS_PYTHON:
        pytest.skip("the extension was not built: python3-dev is missing")
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        page = file.read()
    code = re.search(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL).group(1)
    source = tmp_path / ("greet.c" if language == "c" else "greet.py")
    source.write_text(code)
    if language == "c":
        compiled = re.search(r"^cc .*?(?=  +#|$)", page, re.MULTILINE).group()
        assert FLAGS in compiled
        subprocess.run(["sh", "-c", compiled.replace(FLAGS, f"-I{TOP}/include")], check=True, cwd=tmp_path)
    ending = "so" if language == "c" else "py"
    served = re.search(rf"^millrace serve (\S*greet\.{ending}.*?)(?=  +#|$)", page, re.MULTILINE).group(1)
    curl = commands("README.md")["curl"]
    assert curl.count(PORT) == 1
    with servers.Server(tmp_path, shlex.split(served), "--python", "/usr/bin/python3").wait_ready() as server:
        done = subprocess.run(["sh", "-c", curl.replace(PORT, server.address)], check=True, capture_output=True,
                              timeout=CURL_TIMEOUT_S, text=True)
    line, final = map(json.loads, done.stdout.splitlines())
    assert line["outputs"] == [{"type": "string", "value": "hello you", "file": None}]
    assert (final["outputs"], final["state"]) == (None, "completed")


def test_every_example_says_how_it_is_tried():
    assert set(ANSWERS) | SILENT == set(SOURCES)
    assert not any(commands(source) for source in SILENT)
