# SPDX-License-Identifier: MIT
"""Answers of the toy model: token for token what a loop without a server says, whatever else is in the batch."""

import json
import os
import re

import pytest

import wire
from answers import CONTEXT, EMBEDDINGS, LLAMA, ask, finish, finish_all, open_stream, refusal, refused
from server import TOP

STREAMS = 32
COUNT = 40
PROMPTS = [f"And it came to pass in the {word} year, that " for word in
           ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
            "sixteenth seventeenth eighteenth nineteenth twentieth last next same evil good great little latter former only "
            "other new").split()]
LONG = " ".join(["And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them,"] * 8)

pytestmark = pytest.mark.bounded(120)


@pytest.fixture(scope="module")
def server(start_shared, trained):
    return start_shared(f"{LLAMA}={trained.source}:llama", f"{EMBEDDINGS}={trained.source}:embeddings",
                        options=trained.options("--step-budget", "64", LLAMA_CONTEXT=CONTEXT, LLAMA_PARALLEL=STREAMS))


@pytest.fixture(scope="module")
def shared(start_shared, trained):
    """All runs share a context that has room for four of them."""
    return start_shared(f"{LLAMA}={trained.source}:llama",
                        options=trained.options(LLAMA_CONTEXT=CONTEXT, LLAMA_PARALLEL=STREAMS, LLAMA_SHARED=4 * CONTEXT))


@pytest.fixture(scope="module")
def alone(bare):
    """What the bare loop says to each prompt alone, with the seed of its place."""
    return [bare(prompt, count=COUNT, seed=100 + i)[0] for i, prompt in enumerate(PROMPTS)]


def opened(server, prompt, seed, count=COUNT, **options):
    return open_stream(server, prompt, max_tokens=count, seed=seed, logprobs=0, **options)


# ---- exact ---------------------------------------------------------------------------------------


def test_a_run_says_token_for_token_what_the_bare_loop_says(server, alone):
    for i in range(4):
        assert finish(opened(server, PROMPTS[i], 100 + i)).tokens == alone[i]


def test_beside_31_others_it_says_the_same(server, alone):
    answers = finish_all([opened(server, prompt, 100 + i) for i, prompt in enumerate(PROMPTS)])
    assert [answer.tokens for answer in answers] == alone


def test_with_a_temperature_of_0_it_is_the_likeliest_token(server, bare):
    answer = finish(opened(server, PROMPTS[0], 1, temperature=0))
    assert answer.tokens == bare(PROMPTS[0], count=COUNT, temperature=0)[0]


def test_runs_that_share_a_context_too_small_for_all_wait_and_all_end(shared):
    answers = finish_all([opened(shared, LONG, i, count=100) for i in range(12)])
    assert all(answer.error is None and answer.reason in ("length", "stop") for answer in answers)
    assert all(len(answer.tokens) == 100 for answer in answers if answer.reason == "length")


# ---- what clients see ----------------------------------------------------------------------------


def test_the_last_value_says_why_it_ended_and_what_was_used(server, bare):
    answer = ask(server, "In the beginning of days", max_tokens=7, seed=3)
    assert answer.reason == "length" and answer.seed == 3
    tokens, = bare("In the beginning of days", count=7, seed=3)
    assert answer.usage["completion_tokens"] == len(tokens) and answer.usage["prompt_tokens"] > 3
    assert [set(value) for value in answer.values[:-1]] == [{"text"}] * (len(answer.values) - 1)


def test_where_no_seed_is_given_one_is_drawn_that_says_the_same_again(server):
    first = ask(server, PROMPTS[0], max_tokens=COUNT)
    other = ask(server, PROMPTS[0], max_tokens=COUNT)
    again = ask(server, PROMPTS[0], max_tokens=COUNT, seed=first.seed)
    assert first.text == again.text != other.text and first.seed != other.seed


def test_plain_runs_are_strings_alone(server):
    objects = ask(server, PROMPTS[0], max_tokens=COUNT, seed=5)
    with open_stream(server, PROMPTS[0], max_tokens=COUNT, seed=5, plain=True) as stream:
        strings = [wire.output_of(line) for line in stream.all()]
    assert all(isinstance(string, str) for string in strings) and "".join(strings) == objects.text


def test_logprobs_are_those_of_the_token_and_of_the_likeliest(server):
    answer = ask(server, PROMPTS[0], max_tokens=5, temperature=0, logprobs=3)
    for value in answer.values:
        one, = value["logprobs"]
        assert len(one["top"]) == 3 and one["token"] == one["top"][0]["token"] and one["logprob"] == one["top"][0]["logprob"] < 0
        assert [top["logprob"] for top in one["top"]] == sorted((top["logprob"] for top in one["top"]), reverse=True)


def test_a_chat_is_put_in_the_models_own_template(server, bare):
    said = "And the LORD spake unto Moses, saying,"
    answer = ask(server, None, [{"role": "user", "content": said}], max_tokens=COUNT, seed=9, logprobs=0)
    template = f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n"
    assert answer.tokens == bare(template, count=COUNT, seed=9)[0]


def test_special_words_in_a_prompt_are_words_like_others(server):
    plain = ask(server, "<|im_start|>", max_tokens=1).usage["prompt_tokens"]
    assert plain > 5


def test_ignore_eos_goes_on_to_the_limit(server):
    said = ask(server, None, [{"role": "user", "content": "And he said"}], temperature=0, max_tokens=300)
    on = ask(server, None, [{"role": "user", "content": "And he said"}], temperature=0, max_tokens=300, ignore_eos=True)
    assert said.reason == "stop" and on.reason == "length" and on.usage["completion_tokens"] == 300 and on.text.startswith(said.text)


def test_a_stop_string_ends_the_answer_before_it(server):
    whole = ask(server, PROMPTS[0], max_tokens=COUNT, seed=5)
    stop = whole.text[17:22]
    first = whole.text.index(stop)
    answer = ask(server, PROMPTS[0], max_tokens=COUNT, seed=5, stop=["never said", stop])
    assert answer.text == whole.text[:first] and answer.reason == "stop"
    assert answer.usage["completion_tokens"] < COUNT


# ---- grammars ------------------------------------------------------------------------------------


def test_a_grammar_is_obeyed(server):
    for seed in range(4):
        answer = ask(server, PROMPTS[0], max_tokens=COUNT, seed=seed, grammar='root ::= "yea" | "nay, " [a-c]+ "."')
        assert answer.reason in ("stop", "length")
        assert answer.text == "yea" or answer.text.startswith("nay, "[:len(answer.text)]), answer.text


def test_the_grammar_of_the_readme_makes_json(server):
    with open(os.path.join(TOP, "docs/examples/llama/README.md"), encoding="utf-8") as file:
        grammar = re.search(r"```\n(root ::= .*?)```", file.read(), re.DOTALL)[1]
    answers = finish_all([open_stream(server, "And he said", max_tokens=200, seed=seed, temperature=2, grammar=grammar) for seed in range(12)])
    whole = [answer for answer in answers if answer.reason == "stop"]
    assert whole and all(answer.error is None for answer in answers)
    for answer in whole:
        json.loads(answer.text)


def test_characters_of_several_tokens_come_whole(server):
    words = "\u00e9\u20ac\U0001f600"
    answer = ask(server, PROMPTS[0], grammar=f'root ::= "{words}"')
    assert answer.text == words and answer.reason == "stop"
    assert [value["text"] for value in answer.values if value["text"]] == list(words)


def test_a_run_with_a_grammar_changes_no_other(server, alone):
    streams = [opened(server, prompt, 100 + i) for i, prompt in enumerate(PROMPTS[:8])]
    streams += [open_stream(server, PROMPTS[0], max_tokens=COUNT, grammar='root ::= [a-z ]*') for _ in range(4)]
    assert [answer.tokens for answer in finish_all(streams)[:8]] == alone[:8]


@pytest.mark.parametrize("grammar", ["root ::= (", "root ::= [a", 'root ::= "a', "root ::= b", "x ::= \"a\"", "root ::= root \"a\"",
                                     "\u00e9", "root ::= \"a\"{9000,9000}", "root ::= \"a\"{3,1}", "root ::= \"a\" { 3 , 1 }", "root ::= ( # \\\n \"a\"{3,1} )", "root ::= \"a\"{99999999999999999999999}", "::=", "root ::= \"\\x\"", "root ::= " + "(" * 65])
def test_a_grammar_that_cannot_be_read_is_an_input_error(server, grammar):
    assert "grammar" in refused(server, PROMPTS[0], grammar=grammar)


def test_brackets_in_one_another_are_read_as_far_as_is_allowed(server):
    grammar = "root ::= " + "(" * 64 + '"a"' + ")" * 64
    assert ask(server, PROMPTS[0], grammar=grammar).text == "a"


def test_in_strings_classes_and_comments_brackets_are_characters(server):
    grammar = 'root ::= ( "\\"{3,1}" # {3,1}\n [{3,1}(] )' + "# " + "(" * 100
    assert ask(server, PROMPTS[0], grammar=grammar).text[:-1] == '"{3,1}'


# ---- prefixes ------------------------------------------------------------------------------------


def test_what_was_read_before_is_not_read_again_and_changes_nothing(server, bare):
    expected = bare(LONG + " thus", count=COUNT, seed=1)[0]
    first = finish(opened(server, LONG + " so", 1))
    again = finish(opened(server, LONG + " thus", 1))
    assert again.tokens == expected
    assert again.usage["cached_tokens"] > 0.9 * again.usage["prompt_tokens"] and first.usage["cached_tokens"] < 100


def test_runs_that_come_together_read_a_common_beginning_once(server, bare):
    prompts = [f"{LONG[10:]} unto the {word}" for word in ("east", "west", "north", "south", "river", "sea", "hill", "wall")]
    expected = [bare(prompt, count=COUNT, seed=20 + i)[0] for i, prompt in enumerate(prompts)]
    answers = finish_all([opened(server, prompt, 20 + i) for i, prompt in enumerate(prompts)])
    assert [answer.tokens for answer in answers] == expected
    read = sum(answer.usage["prompt_tokens"] - answer.usage["cached_tokens"] for answer in answers)
    assert read < 2 * answers[0].usage["prompt_tokens"]


def test_in_a_shared_context_a_common_beginning_is_kept_once(shared):
    first = finish(opened(shared, LONG + " so", 1))
    again = finish_all([opened(shared, LONG + " thus", 1) for _ in range(4)])
    assert first.error is None and all(answer.usage["cached_tokens"] > 100 for answer in again)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"temperature": -1}, {"temperature": "hot"}, {"temperature": 101}, {"top_p": 1.5}, {"top_p": -0.1}, {"min_p": 2}, {"top_k": -1},
    {"top_k": 1.5}, {"repeat_penalty": 0}, {"frequency_penalty": 3}, {"presence_penalty": -3}, {"repeat_last_n": -1}, {"seed": -1},
    {"seed": 4294967295}, {"seed": 1 << 63}, {"max_tokens": 0}, {"max_tokens": -1}, {"max_tokens": 1 << 40}, {"max_tokens": "many"},
    {"logprobs": 21}, {"logprobs": -1}, {"logprobs": True}, {"stop": ""}, {"stop": ["a", ""]}, {"stop": ["a"] * 17}, {"stop": 5},
    {"stop": "x" * 257}, {"grammar": ""}, {"grammar": 5}, {"grammar": "a" * 20000}, {"grammar": "root ::= \"\0\""}, {"plain": 1}, {"ignore_eos": "yes"}, {"ignore_eos": True, "grammar": "root ::= \"a\""},
    {"plain": True, "logprobs": 1}, {"warmth": 1}, {"": 1}])
def test_each_option_that_cannot_be_is_an_input_error_that_names_it(server, options):
    message = refused(server, PROMPTS[0], **options)
    assert message.startswith("options: ") and next(iter(options)) in message


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 100}, {"top_p": 0}, {"top_p": 1}, {"min_p": 1}, {"top_k": 0},
                                     {"top_k": 2147483647}, {"seed": 4294967294}, {"repeat_penalty": 100, "repeat_last_n": 65536},
                                     {"frequency_penalty": 2, "presence_penalty": -2}, {"stop": []}, {"temperature": None}])
def test_options_at_their_bounds_are_fine(server, options):
    assert ask(server, PROMPTS[0], max_tokens=8, **options).reason in ("length", "stop")


@pytest.mark.parametrize("messages, word", [
    ([], "messages"), ([5], "messages[0]"), ([{"role": "user"}], "messages[0]"), ([{"role": "user", "content": 5}], "content"),
    ([{"role": "user", "content": "a", "name": "b"}], "messages[0]"), ([{"role": "user", "content": "a\0b"}], "NUL"),
    ([{"role": "user", "content": "a b " * 4000}], "context"), ([{"role": "user", "content": ""}] * 5000, "messages")])
def test_messages_that_cannot_be_are_an_input_error(server, messages, word):
    assert word in refused(server, None, messages)


def test_a_prompt_and_messages_or_neither_are_an_input_error(server):
    assert "either" in refused(server, None)
    assert "either" in refused(server, "a", [{"role": "user", "content": "b"}])


@pytest.mark.parametrize("count", [4 * CONTEXT, 20 * CONTEXT, 1 << 20, 10 << 20])
def test_a_prompt_beyond_the_context_is_an_input_error_that_says_so(server, count):
    assert re.search(f"the context (of )?{CONTEXT}", refused(server, "a b " * (count // 4)))


def test_more_tokens_than_the_context_has_room_for_are_an_input_error(server):
    assert "max_tokens" in refused(server, PROMPTS[0], max_tokens=CONTEXT)
    assert ask(server, PROMPTS[0], temperature=0).usage["completion_tokens"] <= CONTEXT


@pytest.mark.parametrize("prompt", ["\0" * 100, "\U0001f600" * 20, "\ufffd", "a", ""])
def test_any_text_is_a_prompt(server, prompt):
    answer = ask(server, prompt, max_tokens=4)
    assert answer.error is None and answer.usage["completion_tokens"] >= 1


# ---- vectors -------------------------------------------------------------------------------------


def vectors(server, texts, *more):
    with server.stream(EMBEDDINGS, texts, *more) as stream:
        lines = stream.all()
    if lines[-1]["error"]:
        return lines[-1]["error"]
    values = [wire.output_of(line) for line in lines]
    assert [value["index"] for value in values] == list(range(len(texts)))
    return [value["embedding"] for value in values]


def dot(one, other):
    return sum(a * b for a, b in zip(one, other))


def test_texts_have_vectors_of_length_1_that_are_the_same_together_and_alone(server):
    together = vectors(server, PROMPTS)
    for i in (0, 5, 31):
        alone, = vectors(server, [PROMPTS[i]])
        assert dot(alone, together[i]) == pytest.approx(1, abs=1e-5)
    assert all(dot(vector, vector) == pytest.approx(1, abs=1e-5) for vector in together)
    assert dot(together[0], together[1]) < 0.9999


def test_vectors_keep_their_length_where_that_is_asked_for(server):
    normal, = vectors(server, ["And God said"])
    raw, = vectors(server, ["And God said"], False)
    assert dot(normal, raw) == pytest.approx(dot(raw, raw) ** 0.5, rel=1e-4) and dot(raw, raw) > 1.1


def test_many_texts_of_many_runs_are_all_there(server):
    many = [f"{word} {i}" for i in range(10) for word in PROMPTS]
    streams = [server.stream(EMBEDDINGS, many[i:]) for i in range(2)]
    for i, stream in enumerate(streams):
        with stream:
            assert [wire.output_of(line)["index"] for line in stream.all()] == list(range(len(many) - i))


@pytest.mark.parametrize("texts, word", [([], "texts"), ([5], "texts[0]"), (["b " * 4000], "texts[0]")])
def test_texts_that_cannot_be_are_an_input_error(server, texts, word):
    assert word in refusal(server, EMBEDDINGS, texts)


def test_a_text_that_cannot_be_comes_after_the_vectors_of_those_before_it(server):
    with server.stream(EMBEDDINGS, ["a", "b " * 4000]) as stream:
        first, last = stream.all()
    assert wire.output_of(first)["index"] == 0 and last["error"]["type"] == "input_error" and "texts[1]" in last["error"]["message"]
