# SPDX-License-Identifier: MIT
"""warm - a pipeline that says how many runs its process had before. A run with the word "wait" lasts until the file
"go" lies in TMPDIR, one with "fail" fails, one with "hang" never ends, one with "die" or "leave" ends the process, and
one with "much" prints much and returns much."""

import os
import time

count = 0  # pylint: disable=invalid-name


class Word:
    def __init__(self, type_word):
        self.type_word = type_word


def fail():
    raise RuntimeError("this kernel does not compile")


def hang():
    time.sleep(3600)


def wait():
    while not os.path.exists(os.path.join(os.environ["TMPDIR"], "go")):
        time.sleep(0.02)


def leave():
    os._exit(0)


def much():
    for number in range(20000):
        print("line", number)


class Graph:
    input_variables = [Word("string")]
    output_variables = [Word("dictionary")]

    def run(self, word):
        global count  # pylint: disable=global-statement
        print("a run with", word)
        {"fail": fail, "hang": hang, "wait": wait, "die": os.abort, "leave": leave, "much": much}.get(word, str)()
        count += 1
        return [{"before": count - 1, "pid": os.getpid(), "much": "x" * (20 << 20 if word == "much" else 0)}]


graph = Graph()
