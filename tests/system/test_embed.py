# SPDX-License-Identifier: MIT
"""The sentence encoder in plain C, with a toy model: its numbers, what it refuses, and the search of manual pages."""

import os
import re
import unicodedata

import numpy
import pytest

import encoders
import wire
from operator_socket import pipeline_state
from server import TOP, example

EMBED, SEARCH = "local/embed:v1", "local/search:v1"
NEAR = 1e-5
SENTENCES = [
    "Hello World", "how old are you?", "a", " ", "the  the", "est\tte\n\"st\" \\", "qqq xyz q a q", "\u4e2d\u4e2d a \u4e2d",
    "at :30 and :00: the 3", "\u201d5 \u201d", "Hello World. " * 40, "x" * 1000,
    "\uff28ello\u3000\uff37orld\uff01", "\ufb01st \ufb03 \ufb06", "caf\u00e9 \u00bd \u00b5 \u2026 \u2122 \u00b4", "\U0001f600 a",
    "an extra_token_id_3 of the text",
]
PAGES = {
    "first.1": '''.\\" A comment.
.Dd November 30, 2026
.Sh NAME
.Nm first
.Nd tells the world who is there
.Sh SYNOPSIS
.Nm first
.Op Fl -word Ar N
.Sh DESCRIPTION
.Nm
tells
.Em "the whole world"
who is there, and
.Pq nobody
else.
.Bl -tag -width x
.It Fl -word Ar N , Fl w
The number of words, with a \\e and a \\(dqquote\\(dq in it;
.Li a Ns Ar b .
.El
.Bd -literal
a display of code that nobody wants to find
.Ed
Too short.
.Pp
''' + "A sentence that is one of many in its paragraph.\n" * 20 + '''.Sh SEE ALSO
.Xr first 1 , and a text that is long enough
''',
    "second.3": ".Sh DESCRIPTION\nHello World, how old are you today?\n.Pp\nAnother paragraph of these pages.\n.Pp\n"
                "A cafe\u0301 in a paragraph that is refused.\n.Pp\nThe last one, which is there again.\n",
    "notes.txt": "This is none of the manual pages, whatever it says.\n",
}
PARAGRAPHS = [
    ("first(1)", "first tells the world who is there"),
    ("first(1)", "first tells the whole world who is there, and nobody else."),
    ("first(1)", '--word N, -w The number of words, with a \\ and a "quote" in it; ab.'),
    *[("first(1)", " ".join(["A sentence that is one of many in its paragraph."] * count)) for count in (9, 9, 2)],
    ("second(3)", "Hello World, how old are you today?"),
    ("second(3)", "Another paragraph of these pages."),
    ("second(3)", "The last one, which is there again."),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    encoders.write_toy(str(folder))
    return folder


@pytest.fixture(scope="module")
def encoder(model):
    return encoders.Encoder(str(model))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, text in PAGES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(start_shared, model, pages):
    return start_shared(f"{example('embed.so')}:embed", f"{example('embed.so')}:search",
                        options=["--env", f"EMBED_MODEL={model}", "--env", f"EMBED_PAGES={pages}"])


def vectors(server, sentences):
    line, = server.lines(EMBED, None, sentences)
    return wire.output_of(line)


def vector(server, sentence):
    line, = server.lines(EMBED, sentence, None)
    return wire.output_of(line)


def input_error(server, pointer, *values):
    with server.stream(pointer, *values) as stream:
        assert stream.begin().status == 400
        line, = list(stream)
    assert line["error"]["type"] == "input_error"
    return line["error"]["message"]


# ---- numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", SENTENCES, ids=ascii)
def test_a_sentence_has_the_vector_that_numpy_computes(server, encoder, sentence):
    computed = numpy.array(vector(server, sentence))
    assert computed.shape == (encoders.WIDE,) and abs((computed ** 2).sum() - 1) < NEAR
    assert numpy.abs(computed - encoder.vector(sentence)).max() < NEAR


def test_the_toy_tells_sentences_apart(encoder):
    found = [encoder.vector(sentence) for sentence in SENTENCES[:9]]
    assert all(a @ b < 1 - 100 * NEAR for i, a in enumerate(found) for b in found[:i])


def test_sentences_of_one_array_have_the_numbers_that_each_has_alone(server):
    """To the last bit, in more batches than one, whatever is beside it."""
    many = [f"{word} {number}" for number in range(40) for word in SENTENCES[:10]]
    computed = vectors(server, many)
    assert len(computed) == len(many)
    for number in (0, 3, 7, 211, 399):
        assert computed[number] == vector(server, many[number])


def test_no_sentences_have_no_vectors(server):
    assert vectors(server, []) == []


def test_only_the_first_128_pieces_count(server):
    beginning = "th " * 64
    assert vector(server, beginning + "Hello") == vector(server, beginning + "World old are")


def test_two_arrays_at_once_on_one_worker_are_not_mixed(start, model):
    server = start(f"{example('embed.so')}:embed", options=["--env", f"EMBED_MODEL={model}", "--concurrency", "2"])
    inputs = [["Hello World. " * 20] * 60, ["how old are you? " * 20] * 60]
    streams = [server.stream(EMBED, None, sentences) for sentences in inputs]
    for stream, sentences in zip(streams, inputs):
        with stream:
            line, = stream.all()
        assert wire.output_of(line) == [vector(server, sentences[0])] * 60


# ---- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("one, many, reason", [
    (None, None, "a sentence, or an array of sentences"), ("a", ["b"], "a sentence, or an array of sentences"),
    (None, ["a", 7], "sentence 1 is no string"), ("", None, "sentence 0: 0 bytes: "), (None, ["a", ""], "sentence 1: 0 bytes: "),
    ("a" * 16385, None, "sentence 0: 16385 bytes: "), (None, ["a"] * 1025, "1025 sentences: at most 1024"),
    ("cafe\u0301", None, "sentence 0: the NFKC form of the character at byte 4 is not known here"),
    ("\u4e2d\u094d", None, "byte 3 "), ("a\0b", None, "byte 1 ")])
def test_what_is_no_sentence_is_an_input_error_that_says_which(server, one, many, reason):
    assert reason in input_error(server, EMBED, one, many)


def tables():
    """The ranges that stay, and those that change, with what they become."""
    with open(os.path.join(TOP, "docs/examples/embed_text.h"), encoding="utf-8") as file:
        text = file.read()
    stable = re.search(r"stable\[\]\[2\] = \{(.*?)\n\};", text, re.DOTALL)[1]
    changed = re.search(r"\} changed\[\] = \{(.*?)\n\};", text, re.DOTALL)[1]
    return ([(int(first, 16), int(last, 16)) for first, last in re.findall(r"\{0x(\w+), 0x(\w+)\}", stable)],
            [(int(first, 16), int(last, 16), becomes.encode().decode("unicode_escape"))
             for first, last, becomes in re.findall(r'\{0x(\w+), 0x(\w+), "(.*?)"\}', changed)])


def test_the_characters_that_are_taken_become_what_unicode_says(server):
    """Alone, and none of them can become one with another."""
    stable, changed = tables()
    assert len(stable) > 40 and len(changed) > 40
    pairs = [unicodedata.decomposition(chr(code)).split() for code in range(0x110000)]
    seconds = {int(pair[1], 16) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    seconds |= {*range(0x1161, 0x1176), *range(0x11a8, 0x11c3)}  # of Hangul
    for first, last in stable:
        for code in range(first, last + 1):
            assert unicodedata.normalize("NFKC", chr(code)) == chr(code), hex(code)
            assert unicodedata.combining(chr(code)) == 0 and code not in seconds, hex(code)
    for first, last, becomes in changed:
        for code in range(first, last + 1):
            assert unicodedata.normalize("NFKC", chr(code)) == becomes, hex(code)


# ---- the start ---------------------------------------------------------------------------------------


def rename(weights, _):
    weights["module/Embeddings"] = weights.pop(encoders.EMBEDDINGS)


def reshape(weights, _):
    weights[encoders.DENSE[0]] = weights[encoders.DENSE[0]].T


def spoil(weights, _):
    weights[encoders.LAST[1]][7] = numpy.nan


def more_heads(weights, _):
    weights[encoders.HEAD_COUNT] += 4


def more_pieces(_, vocabulary):
    vocabulary += [["more", -1.0]] * 3


def long_piece(_, vocabulary):
    vocabulary[9][0] = "long" * 20


@pytest.mark.parametrize("change, reason", [
    (rename, 'model.json has no weights "module/Embeddings_en"'),
    (reshape, r"dense/kernel/.*: 64 rows of 32 instead of 32 of 64"), (spoil, "tanh_layer_0/bias: number 7 is not finite"),
    (more_heads, "8 heads and 128 tokens instead of 4 and 128"), (more_pieces, r"\d+ pieces, and vectors of 32, 64 and 96 numbers"),
    (long_piece, "vocab.json: piece 9 is not known")])
def test_weights_that_are_not_what_they_should_be_are_a_startup_error(start, tmp_path, change, reason):
    weights, vocabulary = encoders.toy_weights(), encoders.toy_vocabulary()
    change(weights, vocabulary)
    encoders.write(str(tmp_path), weights, vocabulary)
    assert re.search(reason, startup_error(start, EMBED, f"EMBED_MODEL={tmp_path}"))


def startup_error(start, pointer, *variables):
    options = [word for variable in variables for word in ("--env", variable)]
    server = start(f"{example('embed.so')}:{pointer[6:-3]}", options=options)
    error = server.run(pointer, "a", None).json()["error"]
    assert error["type"] == "startup_error"
    return error["message"]


def cut_short(path):
    os.truncate(path, os.path.getsize(path) - 4)


def lengthen(path):
    os.truncate(path, os.path.getsize(path) + 4)


def halve(path):
    os.truncate(path, os.path.getsize(path) // 2)


@pytest.mark.parametrize("name, change, reason", [
    ("model.json", os.remove, "model.json: No such file or directory"), ("vocab.json", os.remove, "vocab.json: No such file"),
    ("model.json", halve, "model.json: a weight is no object|model.json: what is said"),
    ("vocab.json", cut_short, r"vocab.json: piece \d+ is not known"), ("group1-shard2", os.remove, "group1-shard2: No such file"),
    ("group1-shard1", cut_short, "group1-shard2 follows a file that is no multiple of 4096 bytes"),
    ("group1-shard4", cut_short, "is longer than its files|bytes instead of"),
    ("group1-shard4", lengthen, r"the weights have \d+ bytes instead of \d+")])
def test_files_that_are_missing_or_of_another_length_are_a_startup_error(start, tmp_path, name, change, reason):
    encoders.write_toy(str(tmp_path))
    change(tmp_path / name)
    assert re.search(reason, startup_error(start, EMBED, f"EMBED_MODEL={tmp_path}"))


def test_without_its_variables_the_start_says_which_one_is_missing(start, model, tmp_path):
    assert "EMBED_MODEL does not say where the weights are" in startup_error(start, EMBED)
    assert "EMBED_PAGES does not say where the pages are" in startup_error(start, SEARCH, f"EMBED_MODEL={model}")
    assert f"EMBED_PAGES={tmp_path.name} has no manual page" in startup_error(
        start, SEARCH, f"EMBED_MODEL={model}", f"EMBED_PAGES={tmp_path}")


@pytest.mark.parametrize("preload", ["import", "startup"])
def test_workers_that_are_copies_share_the_weights_and_say_the_same(start, model, encoder, preload):
    server = start(f"{example('embed.so')}:embed", options=[
        "--env", f"EMBED_MODEL={model}", "--preload", preload, "--workers", "2"])
    assert pipeline_state(server, EMBED)["template"]["state"] == "ready"
    server.wait_log("the model has")
    assert numpy.abs(numpy.array(vector(server, "Hello World")) - encoder.vector("Hello World")).max() < NEAR
    assert len(server.log_since(0, "the model has")) == 1


# ---- search ------------------------------------------------------------------------------------------


def answers(server, question, best):
    return [wire.output_of(line) for line in server.lines(SEARCH, question, best)]


def test_a_search_finds_all_paragraphs_of_manual_pages_and_nothing_else(server):
    found = answers(server, "how old are you?", 100)
    assert sorted((answer["page"], answer["text"]) for answer in found) == sorted(PARAGRAPHS)
    server.wait_log(r'"a passage of second\(3\): the NFKC form of the character at byte 6 is not known here"')


def test_answers_come_best_first_with_the_score_that_numpy_computes(server, encoder):
    question = "how old are you?"
    found = answers(server, question, 100)
    scores = [answer["score"] for answer in found]
    assert scores == sorted(scores, reverse=True)
    for answer in found:
        assert abs(answer["score"] - encoder.vector(question) @ encoder.vector(answer["text"])) < NEAR
    assert answers(server, question, 3) == found[:3]
    assert answers(server, question, None) == found[:5]


def test_the_text_of_a_paragraph_finds_it(server):
    for page, text in PARAGRAPHS:
        best, = answers(server, text, 1)
        assert best["score"] > 1 - NEAR and best["text"] == text and best["page"] == page


@pytest.mark.parametrize("question, best, reason", [
    ("a", 0, "best: from 1 to 100"), ("a", 101, "best: from 1 to 100"), ("", 1, "the question: 0 bytes"),
    ("e\u0301", 1, "the question: the NFKC form of the character at byte 1")])
def test_a_question_that_is_none_is_an_input_error(server, question, best, reason):
    assert reason in input_error(server, SEARCH, question, best)
