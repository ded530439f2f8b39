# SPDX-License-Identifier: MIT
"""Real weights: the vectors are the package's own, and questions find what answers them in the manual pages."""

import json
import os
import re
import subprocess
import time

import numpy
import pytest

import encoders
import wire
from conftest import HERE
from server import TOP, example

EMBED, SEARCH = "local/embed:v1", "local/search:v1"
# One in the sixth decimal.
NEAR = 1e-6
NODE_TIMEOUT_S = 120
START_S = 240
SENTENCES = [
    "How old are you?", "What is your age?", "The cat sat on the mat.", "a", " ", "  two  spaces ", "tabs\tand\nlines",
    "At 10:30 or 10:00, http://example.org :) it's \"quoted\" \\ {x: 1}", "\u201d5 \u2014 \u00a35 \u20ac5 \u2022 \u00b0",
    "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m \u0142\u00f3d\u017a", "\u4e2d\u6587\u4e2d\u6587 and English", "\U0001f600\U0001f680 ok \u2665",
    "\uff26\uff55\uff4c\uff4c\u3000width \ufb01t \ufb03 \u00bd \u00b5m \u2026 \u2122 \u2116 don\u00b4t",
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u05d0\u05d1\u05d2 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u03b1\u03b2\u03b3",
    "The quick brown fox jumps over the lazy dog. " * 20, "qzxj" * 60, "internationalization antidisestablishmentarianism",
]
QUESTIONS = {
    "How do I stop the server?": r"millrace-(stop|serve|drain)\(1\)|millrace\(1\)",
    "How can a client be limited to a number of connections?": r"millrace-serve\(1\)",
    "How do I create a token?": r"millrace-token\(1\)",
    "How do I change the number of workers?": r"millrace-scale\(1\)|millrace-serve\(1\)",
    "Which function writes a string?": r"millrace_pipeline\(3\)",
}

pytestmark = pytest.mark.bounded(START_S)


@pytest.fixture(scope="module")
def server(start_shared, weights):
    return start_shared(f"{example('embed.so')}:embed", options=["--env", f"EMBED_MODEL={weights}"])


@pytest.fixture(scope="module")
def package(packages):
    """What its JavaScript says."""
    done = subprocess.run(["node", os.path.join(HERE, "reference.js"), packages], input=json.dumps(SENTENCES), text=True,
                          capture_output=True, check=False, timeout=NODE_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return numpy.array(json.loads(done.stdout))


def vectors(server, sentences):
    line, = server.lines(EMBED, None, sentences)
    return numpy.array(wire.output_of(line))


def test_each_vector_is_the_one_of_the_package_to_six_decimals(server, package, figure):
    computed = vectors(server, SENTENCES)
    assert computed.shape == package.shape == (len(SENTENCES), 512)
    differences = numpy.abs(computed - package).max(axis=1)
    figure(f"at most {differences.max():.1e} from the package")
    assert all(differences < NEAR), dict(zip(SENTENCES, differences))


def test_each_vector_is_the_one_of_numpy(server, weights):
    encoder = encoders.Encoder(weights)
    for sentence, computed in zip(SENTENCES, vectors(server, SENTENCES)):
        assert numpy.abs(computed - encoder.vector(sentence)).max() < NEAR, sentence


def test_sentences_that_mean_the_same_are_alike(server, figure):
    age, years, cat = vectors(server, SENTENCES[:3])
    figure(f"{age @ years:.4f} of two questions for the age, {age @ cat:.4f} of one and a cat")
    assert round(age @ years, 4) == 0.8464 and abs(age @ cat) < 0.2


def test_an_array_of_as_many_sentences_as_there_may_be_is_one_value(server):
    assert vectors(server, ["Yes."] * 1024).shape == (1024, 512)


def test_how_fast_it_is(server, figure):
    sentence = "The quick brown fox jumps over the lazy dog."
    for count in (1, 8, 64):
        best_s = min(timed(server, [sentence] * count) for _ in range(5))
        figure(f"{1000 * best_s / count:.2f} ms a sentence of {count}")


def timed(server, sentences):
    began_s = time.monotonic()
    vectors(server, sentences)
    return time.monotonic() - began_s


def test_questions_find_the_manual_page_that_answers_them(start_shared, weights, figure):
    began_s = time.monotonic()
    server = start_shared(f"{example('embed.so')}:search", wait=False, options=[
        "--env", f"EMBED_MODEL={weights}", "--env", f"EMBED_PAGES={TOP}/docs/man", "--start-timeout", f"{START_S}s"])
    server.wait_log(f" pipeline_served pipeline={SEARCH} ", timeout_s=START_S)
    server.wait_ready()
    passages = server.wait_log(r'"(\d+) passages of \d+ pages')[1]
    figure(f"{passages} passages, read in {time.monotonic() - began_s:.1f} s")
    for question, page in QUESTIONS.items():
        found = [wire.output_of(line) for line in server.lines(SEARCH, question, 5)]
        figure(f"{question} {found[0]['page']} {found[0]['score']:.3f} {found[0]['text'][:60]}")
        assert any(re.fullmatch(page, answer["page"]) for answer in found), found
