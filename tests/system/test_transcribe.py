# SPDX-License-Identifier: MIT
"""A real speech recogniser streams the transcript of a real recording while it decodes it."""

import base64

import pytest

import wire
from server import example

TRANSCRIBE = "local/transcribe:v1"
RECORDING = "/usr/share/pocketsphinx/test/data/goforward.raw"
SAID = "go forward ten meters"
SECONDS = 2.8


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("transcribe.so"), options=["--concurrency", "2"])


def assert_transcript(lines):
    values = [wire.output_of(line) for line in lines]
    assert values[-1] == {"final": SAID}
    partials = values[:-1]
    assert len(partials) >= 4
    at = [value["t"] for value in partials]
    assert at == sorted(at) and 0 < at[0] and at[-1] <= SECONDS
    # What was understood grows with what was heard.
    assert partials[0]["partial"].split()[0] == "go"
    assert len(partials[0]["partial"]) < len(partials[-1]["partial"])


def test_partial_transcripts_arrive_while_the_recording_is_decoded(server):
    with server.stream(TRANSCRIBE, RECORDING) as stream:
        assert_transcript(stream.all())
    # Each was sent when it was found, not with the last: between them lies the work of decoding.
    assert stream.times[-1] - stream.times[0] > 0.2
    assert len(set(stream.times)) > len(stream.times) / 2


def test_two_recordings_at_once_on_one_decoder_take_turns(server):
    """One as a path, one as base64 in the request."""
    with open(RECORDING, "rb") as file:
        samples = base64.b64encode(file.read()).decode()
    streams = [server.stream(TRANSCRIBE, source) for source in (RECORDING, samples)]
    for stream in streams:
        with stream:
            assert_transcript(stream.all())


def test_a_client_that_leaves_frees_the_decoder_for_the_next(server):
    with server.stream(TRANSCRIBE, RECORDING) as stream:
        stream.next()
    assert_transcript(server.lines(TRANSCRIBE, RECORDING))


@pytest.mark.parametrize("source", ["/no/such/recording.raw", "!!!", "/usr/share/pocketsphinx/test/data/turtle.dic"])
def test_what_is_no_recording_is_an_input_error(server, source):
    with server.stream(TRANSCRIBE, source) as stream:
        assert stream.begin().status == 400
        [line] = list(stream)
    assert line["error"]["type"] == "input_error"
