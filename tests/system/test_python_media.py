# SPDX-License-Identifier: MIT
"""Sounds and pictures go through pipelines of the published shapes, end to end: uploaded, computed with, saved."""

import base64
import io
import math
import os
import struct
import subprocess
import time
import wave

import pytest
from PIL import Image

from pipeline import Directory, File
from pipeline.cloud.pipelines import run_pipeline, stream_pipeline
from pipeline.objects.graph import InputField, InputSchema
from server import MILLRACE, SLOWNESS, TOP
from test_python_worker import pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

FOLDER = os.path.join(TOP, "tests/system/pipelines/media")
MODULES = (("sounds", ("speech", "description", "voice")), ("texts", ("summary", "numeral", "link")),
           ("images", ("caption", "sketch", "paint", "frames_as_texts", "frames_as_files")))


class Inputs(InputSchema):
    """What the client knows of those in texts.py."""
    text_in: "str | None" = InputField(default=None, optional=True)
    file_in: "File | None" = InputField(default=None, optional=True)


class Settings(InputSchema):
    """What the client knows of those in images.py."""
    source_image: "File | None" = InputField(default=None, optional=True)
    strength: float = InputField(default=0.5)
    steps: int = InputField(default=4)
    pace_s: float = InputField(default=0.0)


@pytest.fixture(scope="module")
def url(start_shared, tmp_path_factory):
    sources = [f"me/{name}:v1={FOLDER}/{module}.py:{name}" for module, names in MODULES for name in names]
    sources.append(f"me/unpack:v1={FOLDER}/../files.py:unpacks")
    files = tmp_path_factory.mktemp("media") / "files"
    server = start_shared(*sources, options=["--python", "/usr/bin/python3", "--files", str(files)])
    return f"http://127.0.0.1:{server.port}"


def spoken(word):
    """As voice says it, computed here."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        for letter in word:
            hertz = 400 + 100 * (ord(letter) - ord("a"))
            sound.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(2 * math.pi * hertz * (at + 0.5) / 8000))) for at in range(400)))
    return buffer


def picture(colour, size=(40, 24), form="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format=form)
    buffer.name = f"{colour}.{form.lower()}"
    return buffer


def results(url, name, *inputs):
    result = run_pipeline(f"me/{name}:v1", *inputs, url=url)
    assert result.error is None, result.error
    return result.outputs_formatted()


# ---- what goes in ------------------------------------------------------------------------------------

def test_speech_becomes_text(url, tmp_path):
    (tmp_path / "a.wav").write_bytes(spoken("millrace").getvalue())
    assert results(url, "speech", File(tmp_path / "a.wav"), {}) == ["millrace", None]
    with (tmp_path / "a.wav").open("rb") as opened:
        assert results(url, "speech", opened, {"return_timestamps": True}) == [
            "millrace", [[number * 400 / 8000, letter] for number, letter in enumerate("millrace")]]
    assert results(url, "description", File(tmp_path / "a.wav"))[0] == {"file": "a.wav", "seconds": 0.4, "loudest": 9000}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF"])
def test_a_picture_becomes_text(url, form):
    assert results(url, "caption", picture("red", form=form)) == ["a red picture, 40 by 24"]


def test_a_text_may_be_a_file_in_a_dictionary(url, tmp_path):
    (tmp_path / "a.txt").write_text("to be or not to be to")
    for inputs in (Inputs(text_in="to be or not to be to"), Inputs(file_in=File(tmp_path / "a.txt")), {"file_in": File(tmp_path / "a.txt")}):
        result, = stream_pipeline("me/summary:v1", inputs, {"max_length": 2}, url=url)
        assert result.outputs_formatted() == results(url, "summary", inputs, {"max_length": 2}) == [[{"summary_text": "to be"}]]


def test_numbers_and_links_become_text(url):
    assert results(url, "numeral", 2) == ["two"] and results(url, "numeral", 9) == ["many"]
    assert results(url, "link", "https://example.org/a-long-talk/") == [{"host": "example.org", "text": "a long talk", "chunks": []}]


def test_a_folder_goes_as_a_zip_in_parts(url, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.cloud.files.FILE_CHUNK_SIZE", 100)
    (tmp_path / "album/inner").mkdir(parents=True)
    for name in ("a.png", "inner/b.png"):
        (tmp_path / "album" / name).write_bytes(picture("red").getvalue())
    assert results(url, "unpack", Directory(tmp_path / "album")) == [["a.png", "inner/b.png"]]


def test_the_command_sends_files_too(url, tmp_path):
    (tmp_path / "blue.png").write_bytes(picture("blue").getvalue())
    printed = subprocess.run([MILLRACE, "run", "me/caption:v1", "@blue.png", "--url", url], cwd=tmp_path, capture_output=True,
                             timeout=30 * SLOWNESS, check=True).stdout
    assert printed == b"a blue picture, 40 by 24\n"


def test_what_is_no_picture_fails_its_run_alone(url):
    error = run_pipeline("me/caption:v1", io.BytesIO(b"no picture"), url=url).error
    assert error.type == "pipeline_error" and "cannot identify image file" in error.message
    assert results(url, "caption", picture("green"))[0].startswith("a green")


# ---- streams -----------------------------------------------------------------------------------------

def arrivals(url, name):
    """(when, output) of fifty pictures."""
    settings = Settings(steps=50, pace_s=0.02)
    return [(time.monotonic(), result.outputs_formatted()[0]) for result in stream_pipeline(f"me/{name}:v1", "red", settings, url=url)]


def is_picture(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.format == "PNG" and image.size == (32, 32)


def test_fifty_pictures_come_one_by_one_as_text(url):
    came = arrivals(url, "frames_as_texts")
    data = [base64.b64decode(text) for _, (text,) in came]
    assert len(data) == 50 and all(map(is_picture, data)) and len(set(data)) == 50
    assert Image.open(io.BytesIO(data[-1])).getpixel((0, 0)) == (255, 0, 0)
    assert came[-1][0] - came[0][0] >= 0.3, "they came together"


def test_fifty_pictures_come_one_by_one_as_files(url, tmp_path):
    came = arrivals(url, "frames_as_files")
    assert [file.name for _, file in came] == [f"step-{number}.png" for number in range(50)]
    assert came[-1][0] - came[0][0] >= 0.3, "they came together"
    for number in (0, 49):
        came[number][1].save(tmp_path / "a.png")
        assert is_picture((tmp_path / "a.png").read_bytes())
    assert Image.open(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0)


# ---- what comes out ----------------------------------------------------------------------------------

def saved(file, tmp_path):
    file.save(tmp_path / "saved")
    return (tmp_path / "saved").read_bytes()


def test_text_becomes_speech_and_text_again(url, tmp_path):
    file, = results(url, "voice", "hello", 0)
    assert file.name == "hello.wav" and saved(file, tmp_path) == spoken("hello").getvalue()
    assert results(url, "speech", file, {}) == ["hello", None], "by its URL"
    assert results(url, "speech", File(tmp_path / "saved"), {}) == ["hello", None]


def test_pictures_become_pictures(url, tmp_path):
    files, = results(url, "sketch", picture("white"), "red", {"count": 2})
    assert [file.name for file in files] == ["0.png", "1.png"]
    assert all(Image.open(io.BytesIO(saved(file, tmp_path))).size == (40, 24) for file in files)


def test_a_picture_may_be_in_the_settings(url, tmp_path):
    (file,), = results(url, "paint", "red", Settings(strength=1.0))
    assert Image.open(io.BytesIO(saved(file, tmp_path))).getpixel((3, 3)) == (255, 0, 0)
    (file,), = results(url, "paint", "red", Settings(strength=0.5, source_image=picture("blue")))
    assert Image.open(io.BytesIO(saved(file, tmp_path))).getpixel((3, 3)) == (127, 0, 127)


def test_the_command_saves_what_comes_out(url, tmp_path):
    def run(*words):
        return subprocess.run([MILLRACE, "run", *words, "--url", url], cwd=tmp_path, capture_output=True, timeout=30 * SLOWNESS,
                              check=True).stdout.decode()

    assert run("me/voice:v1", "abc", "0") == "abc.wav\n" and (tmp_path / "abc.wav").read_bytes() == spoken("abc").getvalue()
    assert run("me/speech:v1", "@abc.wav", "{}") == "abc\tnull\n"
    assert run("me/paint:v1", "red", '{"count":2}') == '["0.png","1.png"]\n'
    assert run("me/frames_as_files:v1", "red", '{"steps":3}') == "step-0.png\nstep-1.png\nstep-2.png\n"
    assert all(is_picture((tmp_path / name).read_bytes()) for name in ("0.png", "1.png", "step-2.png"))
