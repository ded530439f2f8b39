# SPDX-License-Identifier: MIT
"""progress - a pipeline that takes long to import, until the file "go" lies in TMPDIR. What it says and prints
meanwhile is that of SAYS."""

import os
import sys
import time

import millrace_worker

GO = os.path.join(os.environ["TMPDIR"], "go")
SAYS = os.environ["SAYS"]
BAR = "\rLoading checkpoint shards:  62%|██████▏   | 5/8 [00:41<00:24,  8.2s/it]"


def speak():
    millrace_worker.startup_progress(0.62, "loading shard 5 of 8")


def wonder():
    millrace_worker.startup_progress(None, "compiling\ud800")


def draw():
    sys.stderr.write(BAR)
    sys.stderr.flush()


def count():
    print("\rReading: 41it [00:41,  1.00it/s]", end="")


def be_silent():
    print("62% of nothing [yet]", file=sys.stderr)


def load_by(say):
    while not os.path.exists(GO):
        say()
        time.sleep(0.05)


def load_by_tqdm():
    from tqdm import tqdm  # pylint: disable=import-outside-toplevel

    for shard in tqdm(range(8), desc="Loading checkpoint shards", mininterval=0):
        while shard == 5 and not os.path.exists(GO):
            time.sleep(0.05)


if SAYS == "tqdm":
    load_by_tqdm()
elif SAYS == "stall":
    speak()
    time.sleep(3600)
else:
    load_by({"speak": speak, "wonder": wonder, "draw": draw, "count": count, "be_silent": be_silent}[SAYS])


class Word:
    def __init__(self, type_word="string"):
        self.type_word = type_word


class Graph:
    input_variables = [Word(os.environ.get("INPUT", "string"))]
    output_variables = [Word()]

    def run(self, word):
        millrace_worker.startup_progress(0.5, "which is not sent")
        if not isinstance(word, str):
            word = word.read_text()
        return ["hello " + word]


graph = Graph()
