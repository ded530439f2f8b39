# SPDX-License-Identifier: MIT
"""Values of every type and size, there and back: what the pipeline meant is what the client gets."""

import json
import math
import struct

import pytest

import wire
from server import example, load_json

ECHO = "local/echo:v1"
MISBEHAVE = "local/misbehave:v1"
TYPED = "test/typed:v1"
LARGE_BYTES = 10_000_000


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(example("echo.so"), example("misbehave.so"), f"{TYPED}={pipelines('shapes')}:typed",
                        options=["--concurrency", "4"])


def echo(server, values, path="/v4/runs/stream"):
    """The values as they came back; each with its type. The request's JSON text is Python's."""
    keys = [f"k{number}" for number in range(len(values))]
    body = wire.run_body(ECHO, [{"type": "dictionary", "value": dict(zip(keys, values))}])
    return echo_body(server, body, path)


def echo_text(server, text, **options):
    """Likewise for JSON text that no library would write."""
    body = b'{"pipeline":"%s","inputs":[{"type":"dictionary","value":{"v":%s}}]}' % (ECHO.encode(), text)
    return echo_body(server, body, **options)


def echo_body(server, body, path="/v4/runs/stream"):
    with wire.Stream(server.connect(), body, path=path) as stream:
        assert stream.begin().status == 200, stream.connection.response
        raw = list(stream.raw_lines())
    outputs = []
    for text in raw:
        load_json(text)  # strict: no NaN, no key twice
        line = wire.check_line(text)
        assert line["error"] is None, line["error"]
        outputs += line["outputs"]
    return outputs


def assert_same(output, value):
    assert output["type"] == wire.TYPES[type(value)]
    assert output["value"] == value
    assert type(output["value"]) is type(value)


def assert_echoed(server, values):
    outputs = echo(server, values)
    assert len(outputs) == len(values)
    for output, value in zip(outputs, values):
        assert_same(output, value)


def refused(server, text):
    """The answer to a body that is not accepted, for a dictionary with this JSON text in it."""
    body = b'{"pipeline":"%s","inputs":[{"type":"dictionary","value":{"v":%s}}]}' % (ECHO.encode(), text)
    return server.ask("POST", "/v4/runs/stream", body)


# ---- numbers ----------------------------------------------------------------------------------------


def test_integers_of_64_bits_come_back_exactly(server):
    values = [0, 1, -1, 2**31, 2**32 - 1, -2**31, 2**53 - 1, 2**53, 2**53 + 1, -2**53 - 1, 2**63 - 1, -2**63,
              2**63, 2**64 - 1, 2**64 - 2]
    values += [1 << shift for shift in range(64)] + [-(1 << shift) for shift in range(64)]
    values += [(1 << shift) - 1 for shift in range(1, 65)]
    values += [10**power for power in range(20)]
    assert_echoed(server, values)


@pytest.mark.parametrize("text", [b"18446744073709551616", b"-9223372036854775809", b"1" * 400])
def test_integers_beyond_64_bits_are_refused_and_never_rounded(server, text):
    answer = refused(server, text)
    assert answer.status == 422
    [detail] = answer.json()["detail"]
    assert detail["msg"] == "an integer is outside -2^63 to 2^64-1"
    assert detail["type"] == "value_error.jsondecode"


def test_doubles_come_back_with_every_bit(server):
    values = [0.0, -0.0, 0.1, 1 / 3, -2.5, 1e22, 1e23, 1e-7, 5e-324, 2.2250738585072014e-308, 1.0,
              2.225073858507201e-308, 1.7976931348623157e308, -1.7976931348623157e308, 123456789012345680.0,
              math.pi, math.nextafter(1, 2), math.nextafter(1, 0), 9007199254740993.0, 1e15, 1e16, 1e17]
    # A fixed walk through the bit patterns, without infinities and NaNs.
    bits = 0x9E3779B97F4A7C15
    while len(values) < 2000:
        bits = (bits * 6364136223846793005 + 1442695040888963407) % 2**64
        value = struct.unpack("=d", struct.pack("=Q", bits))[0]
        if math.isfinite(value):
            values.append(value)
    outputs = echo(server, values)
    for output, value in zip(outputs, values):
        assert output["type"] == "fp"
        assert struct.pack("=d", output["value"]) == struct.pack("=d", value), value


@pytest.mark.parametrize("text,value", [(b"1E5", 1e5), (b"1e+2", 100.0), (b"-0.0", -0.0), (b"1.50", 1.5),
                                        (b"4.9e-324", 5e-324), (b"1e-400", 0.0), (b"-0", 0)])
def test_numbers_written_otherwise_keep_their_value_and_kind(server, text, value):
    [output] = echo_text(server, text)
    assert_same(output, value)
    assert str(output["value"]) == str(value)


def test_a_number_too_large_for_a_double_is_refused(server):
    assert refused(server, b"1e400").status == 422


def test_nan_and_infinities_reach_clients_as_null(server):
    for how in ("nan", "infinity"):
        line = server.lines(MISBEHAVE, how, 0, 0)[0]
        assert line["outputs"] == [{"type": "fp", "value": None, "file": None}]


def test_booleans_and_none_keep_their_types(server):
    assert_echoed(server, [True, False, None, 0, 1, "", [], {}])


# ---- text -------------------------------------------------------------------------------------------


def planes():
    """The code points of each plane that are characters of some kind, thinned out above the first."""
    for plane in range(17):
        step = 1 if plane == 0 else 257
        codes = range(plane << 16, (plane + 1) << 16, step)
        yield "".join(chr(code) for code in [*codes, ((plane + 1) << 16) - 1] if not 0xD800 <= code < 0xE000)


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "utf8"])
def test_text_of_every_unicode_plane_comes_back(server, escaped):
    values = list(planes())
    body = json.dumps({"pipeline": ECHO, "inputs": [{"type": "dictionary",
                                                     "value": dict(zip(map(str, range(17)), values))}]},
                      ensure_ascii=escaped).encode()
    outputs = echo_body(server, body)
    assert [output["value"] for output in outputs] == values


def test_text_with_nuls_quotes_and_control_characters_comes_back(server):
    controls = "".join(map(chr, range(32))) + "\x7f\x80\x9f"
    values = ["", "\0", "a\0b", "\0\0\0", '"', "\\", '\\"', "\\\\", "\\n", "\n", "\r\n", "/", "</script>", controls,
              "\u2028\u2029", "\ufeff", "\ufffe\uffff", "\u0000end", "e\u0301", "👩‍👩‍👧‍👦", "x" * 65536, " "]
    assert_echoed(server, values)
    # One by one on lines of their own, so none may break a line.
    for value in values:
        assert_echoed(server, [value])


def test_keys_of_dictionaries_are_any_text(server):
    assert_echoed(server, [{"": 1, " ": 2, '"': 3, "\\": 4, "\n": 5, "ключ": 6, "𐍈": 7, "a" * 5000: 8}])


def test_the_order_of_a_dictionary_is_kept(server):
    value = {name: number for number, name in enumerate("zyxwvutsrqponmlkjihgfedcba")}
    [output] = echo(server, [value])
    assert list(output["value"]) == list(value)


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\ud800"', b'"\xff"', b'"\xc0\x80"',
                                  b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'"\x01"', b'"\t"'])
def test_text_that_is_not_unicode_is_refused_as_input(server, text):
    answer = refused(server, text)
    assert answer.status == 422
    assert answer.json()["detail"][0]["type"] == "value_error.jsondecode"


@pytest.mark.parametrize("k", [0, 3])
def test_invalid_utf8_of_a_pipeline_is_an_error_line_that_says_so(server, k):
    with server.stream(MISBEHAVE, "invalid_utf8", k, 0) as stream:
        lines = stream.all()
    assert [wire.output_of(line) for line in lines[:-1]] == list(range(k))
    assert lines[-1]["state"] == "failed"
    assert lines[-1]["error"]["type"] == "pipeline_error"
    assert "not valid UTF-8" in lines[-1]["error"]["message"]


# ---- size -------------------------------------------------------------------------------------------


def test_a_string_of_10_mb_is_echoed(server):
    value = ("mill race " * (LARGE_BYTES // 10 + 1))[:LARGE_BYTES]
    assert_echoed(server, [value, "after"])


def test_a_string_of_10_mb_that_needs_escapes_is_echoed(server):
    assert_echoed(server, ['"\n\\é\0' * (LARGE_BYTES // 30)])


def test_a_string_of_10_mb_is_a_chunk(server):
    lines = server.lines(MISBEHAVE, "text_10_mb", 2, 0)
    assert [wire.output_of(line) for line in lines[:2]] == [0, 1]
    text = wire.output_of(lines[2])
    assert len(text) == 10 << 20
    assert text == ("abcdefghijklmnopqrstuvwxyz" * (len(text) // 26 + 1))[:len(text)]


def test_a_chunk_above_the_limit_is_an_error_line_and_the_run_before_it_is_kept(server):
    lines = server.lines(MISBEHAVE, "text_65_mb", 2, 0)
    assert [wire.output_of(line) for line in lines[:2]] == [0, 1]
    assert "larger than 67108864 bytes" in lines[2]["error"]["message"]


def test_arrays_of_1000_elements_come_back(server):
    values = [list(range(1000)), [str(number) for number in range(1000)], [[number] for number in range(1000)],
              [{"n": number, "half": number / 2} for number in range(1000)], [None] * 1000, [""] * 1000]
    assert_echoed(server, values)


def test_a_dictionary_of_5000_keys_comes_back(server):
    assert_echoed(server, [{f"key {number}": number for number in range(5000)}])


def test_5000_values_come_back_one_a_line(server):
    assert_echoed(server, list(range(5000)))


# ---- nesting ----------------------------------------------------------------------------------------


def nested(depth, inner=None):
    for level in range(depth):
        inner = {"in": inner} if level % 3 == 0 else [inner]
    return inner


def test_30_containers_deep_is_carried_both_ways(server):
    # The dictionary that echo takes is one of them.
    assert_echoed(server, [nested(29), nested(29, 1.5), nested(29, "x")])
    [line] = server.lines(MISBEHAVE, "nested_30", 0, 0)
    value = wire.output_of(line)
    depth = 0
    while value is not None:
        [value] = value
        depth += 1
    assert depth == 30


@pytest.mark.parametrize("depth", [30, 31, 32, 33, 99, 500])
def test_deeper_inputs_are_an_input_error_that_says_so(server, depth):
    with server.stream(ECHO, {"v": nested(depth)}) as stream:
        assert stream.begin().status == 400
        [line] = list(stream)
    assert line["state"] == "failed"
    assert line["error"]["type"] == "input_error"
    assert "nested deeper than 30" in line["error"]["message"]


def test_absurdly_deep_inputs_are_refused_while_they_are_read(server):
    answer = refused(server, b"[" * 100000 + b"]" * 100000)
    assert answer.status == 422
    assert "nested" in answer.json()["detail"][0]["msg"]


def test_100_deep_as_a_chunk_is_an_error_line_that_says_so(server):
    lines = server.lines(MISBEHAVE, "nested_100", 1, 0)
    assert wire.output_of(lines[0]) == 0
    assert lines[1]["error"]["type"] == "pipeline_error"
    assert "nested deeper than 30" in lines[1]["error"]["message"]


# ---- what is not a value ------------------------------------------------------------------------------


@pytest.mark.parametrize("how,words", [
    ("short_array", "an array announced 3 items and 2 came"),
    ("long_array", "more values were written than the one that is wanted"),
    ("short_dictionary", "a dictionary announced 2 pairs and 1 came"),
    ("integer_key", "a dictionary's key is not a string"),
    ("two_values", "more values were written"),
    ("no_value", "no value was written"),
    ("value_at_end", "next() wrote a value and returned MR_END"),
    ("later_without_time", "MR_LATER without saying until when"),
    ("result_99", "next() returned 99"),
    ("fail_errno", "No such file or directory"),
    ("fail_number", "-4711"),
])
def test_a_mistake_of_a_pipeline_is_an_error_line_after_its_chunks(server, how, words):
    with server.stream(MISBEHAVE, how, 3, 0) as stream:
        lines = stream.all()
    assert [wire.output_of(line) for line in lines[:-1]] == [0, 1, 2]
    assert lines[-1]["error"]["type"] == "pipeline_error"
    assert words in lines[-1]["error"]["message"]
    assert stream.trailers == {"Millrace-Run-State": "failed", "Millrace-Run-Lines": "3"}
    assert server.workers(MISBEHAVE)[0]["restarts"] == 0


def test_a_failure_keeps_its_type_and_message(server):
    for k in (-1, 0, 2):
        line = server.lines(MISBEHAVE, "fail", k, 0)[-1]
        if k >= 0:
            assert line["error"]["type"] == "cuda_oom"
            assert "no room on device 7" in line["error"]["message"]


# ---- inputs of each type -------------------------------------------------------------------------------

GOOD = ["n", 3, 0.5, True, [1], {"k": 2}, 4, "b"]


def typed(server, index, value):
    values = list(GOOD)
    values[index] = value
    return server.stream(TYPED, *values)


def outputs_of_typed(stream):
    with stream:
        return [wire.output_of(line) for line in stream.all()]


@pytest.mark.parametrize("index,value", [
    (0, ""), (0, "7"), (1, -5), (1, 2**64 - 1), (1, True), (2, 7), (2, -1.5), (3, False), (4, []), (4, [1, 2, 3, 4]),
    (5, {}), (6, 11), (7, "c"), (7, None),
])
def test_a_value_that_fits_its_variable_is_taken_and_limits_are_metadata(server, index, value):
    expected = list(GOOD)
    expected[index] = value
    assert outputs_of_typed(typed(server, index, value)) == expected


@pytest.mark.parametrize("index,value", [
    (0, 7), (0, None), (0, ["a"]), (1, 1.0), (1, "1"), (1, None), (2, "0.5"), (2, True), (2, None), (3, 1),
    (3, "true"), (4, {}), (4, "[]"), (5, []), (5, None), (6, "7"), (7, 5),
])
def test_a_value_that_does_not_fit_its_variable_is_a_400_that_names_it(server, index, value):
    with typed(server, index, value) as stream:
        assert stream.begin().status == 400
        [line] = list(stream)
    assert line["state"] == "failed"
    assert line["error"]["type"] == "input_error"
    assert line["error"]["message"].startswith(f"input {index + 1} (")
    assert line["error"]["message"].count(" must be ") == 1


def test_the_word_for_the_type_does_not_matter(server):
    values = [{"type": word, "value": value} for word, value in zip(
        ["integer", "integer", "string", "integer", "string", "none", "boolean", "fp"], GOOD)]
    assert outputs_of_typed(server.stream(TYPED, *values)) == GOOD


def test_optional_inputs_and_those_with_a_default_can_be_left_out(server):
    assert outputs_of_typed(server.stream(TYPED, *GOOD[:6])) == GOOD[:6] + [7, None]
    assert outputs_of_typed(server.stream(TYPED, *GOOD[:7])) == GOOD[:7] + [None]


@pytest.mark.parametrize("count", [0, 1, 5, 9, 64])
def test_a_wrong_number_of_inputs_is_a_400_that_says_how_many(server, count):
    with server.stream(TYPED, *(GOOD * 8)[:count]) as stream:
        assert stream.begin().status == 400
        [line] = list(stream)
    assert line["error"]["type"] == "input_error"
    assert f"takes 6 to 8 inputs, got {count}" in line["error"]["message"]


@pytest.mark.parametrize("word", ["pkl", "file"])
def test_pickles_and_files_are_refused_with_the_reason(server, word):
    with typed(server, 0, {"type": word, "value": "x"}) as stream:
        assert stream.begin().status == 400
        [line] = list(stream)
    assert line["error"]["type"] == "input_error"


def test_the_keys_that_the_sdk_sends_along_are_ignored(server):
    inputs = [{"type": wire.TYPES[type(value)], "value": value, "file_name": None, "file_path": None,
               "file_url": None} for value in GOOD]
    body = json.dumps({"pipeline": TYPED, "inputs": inputs, "async_run": False, "wait_for_resources": None,
                       "run_id": None, "callback_url": None, "unknown": [1, {"deep": None}]}).encode()
    assert outputs_of_typed(wire.Stream(server.connect(), body)) == GOOD


def test_the_variables_of_a_pipeline_are_listed_with_their_metadata(server):
    variables = server.pipeline(TYPED)["input_variables"]
    assert [variable["title"] for variable in variables] == ["name", "count", "ratio", "flag", "list", "map",
                                                             "limit", "note"]
    assert [variable["type"] for variable in variables] == ["string", "integer", "fp", "boolean", "array",
                                                            "dictionary", "integer", "string"]
    assert [variable["optional"] for variable in variables] == [False] * 7 + [True]
    assert variables[1]["ge"] == 0 and variables[1]["le"] == 10
    assert variables[4]["max_length"] == 2
    assert variables[6]["default"] == 7
    assert variables[7]["choices"] == ["a", "b"]
    assert [variable["type"] for variable in server.pipeline(TYPED)["output_variables"]] == ["stream"]
