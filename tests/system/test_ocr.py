# SPDX-License-Identifier: MIT
"""A real recogniser of text in pictures: what was printed comes line by line, with its place; what is no picture, or too
large a one, is refused and costs nothing."""

import contextlib
import fcntl
import os
import shutil
import struct
import termios
import zlib

import numpy
import pytest
from PIL import Image

import printed
import wire
from conftest import HERE, compile_c
from operator_socket import pipeline_state
from server import example, wait_until

OCR = "local/ocr:v1"
OPTIONS = ["--files", "files", "--env", "OMP_THREAD_LIMIT=1"]
TESSDATA = "/usr/share/tesseract-ocr/5/tessdata"
LINES = ["Invoice 4711 of 30 November 2026", "the lazy dog, and then it sleeps.", "Total: 1,234.56 EUR (19% VAT)",
         "gypsy queens are jumping", "one two three four five", "Pack my box with five dozen jugs"]
LINE = LINES[-1]
NEAR_PIXELS = 1


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("ocr.so"), options=[*OPTIONS, "--concurrency", "4"])


def upload(server, data):
    response = server.ask("POST", "/v4/files", data, {"Content-Disposition": 'attachment; filename="page.bin"'})
    assert response.status == 201, response
    return {"type": "file", "file_path": response.json()["id"]}


def stream(server, picture, language=None, layout=None):
    """Of a picture, or of the bytes of a file."""
    data = picture if isinstance(picture, bytes) else printed.encoded(picture)
    return server.stream(OCR, upload(server, data), language, layout)


def found(server, *inputs):
    with stream(server, *inputs) as lines:
        return [wire.output_of(line) for line in lines.all()]


def texts(server, *inputs):
    return [line["text"] for line in found(server, *inputs)]


def refused(server, *inputs):
    with stream(server, *inputs) as lines:
        assert lines.begin().status == 400
        line, = list(lines)
    assert line["error"]["type"] == "input_error"
    return line["error"]["message"]


def pids(server):
    return [worker["pid"] for worker in server.workers(OCR)]


# ---- what is found -----------------------------------------------------------------------------------


def test_lines_are_what_was_printed_and_boxes_are_where_it_was(server):
    image, boxes = printed.page(LINES)
    lines = found(server, image)
    assert [line["text"] for line in lines] == LINES
    assert [(line["line"], line["of"]) for line in lines] == [(number, len(LINES)) for number in range(len(LINES))]
    for line, (left, top, right, bottom) in zip(lines, boxes):
        assert list(line["box"]) == ["x", "y", "width", "height"]
        assert 0.8 < line["confidence"] <= 1
        x, y, width, height = line["box"].values()
        around = (x - left, y - top, right - x - width, bottom - y - height)
        assert max(map(abs, around)) <= NEAR_PIXELS, (line["box"], around)


def kinds():
    """One line of text in each kind of picture."""
    grey, _ = printed.page([LINE])
    dark, _ = printed.page([LINE], ink=255, ground=0)
    ink = grey.point(lambda value: 255 - value)
    clear = Image.merge("RGBA", [Image.new("L", grey.size, 0)] * 3 + [ink])
    wide = Image.fromarray(numpy.asarray(grey).astype("uint16") * 257)
    return {
        "one bit": printed.encoded(grey.convert("1")), "grey": printed.encoded(grey), "palette": printed.encoded(grey.convert("P")),
        "colour": printed.encoded(grey.convert("RGB")), "transparent": printed.encoded(clear), "16 bits": printed.encoded(wide),
        "light on dark": printed.encoded(dark), "on grey": printed.encoded(printed.page([LINE], ground=180)[0]),
        "jpeg": printed.encoded(grey, "JPEG", quality=90), "jpeg, colour": printed.encoded(grey.convert("RGB"), "JPEG", quality=90),
        "jpeg, progressive": printed.encoded(grey, "JPEG", quality=90, progressive=True),
        "jpeg, print colours": printed.encoded(grey.convert("CMYK"), "JPEG", quality=90)}


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_text_is_read_in_every_kind_of_picture(server, kind):
    assert [text.lower() for text in texts(server, kinds()[kind])] == [LINE.lower()]


def test_columns_are_read_one_after_the_other(server):
    left = ["The first column has", "several lines which", "are to be read down", "to the last of them", "before the other one"]
    right = ["while the second one", "is further right and", "comes after it, with", "as many lines in it", "as the first one has"]
    image = Image.new("L", (900, 300), 255)
    for at, lines in ((40, left), (500, right)):
        printed.draw(image, lines, at, printed.MARGIN_PIXELS)
    assert texts(server, image, None, "page") == left + right
    assert texts(server, image, None, "block") == [f"{first} {second}" for first, second in zip(left, right)]


@pytest.mark.parametrize("layout", ["page", "column", "block", "line", "sparse", None])
def test_a_line_alone_is_read_in_every_layout(server, layout):
    assert texts(server, printed.page([LINE])[0], "eng", layout) == [LINE]


@pytest.mark.parametrize("picture", [
    printed.page([])[0], Image.new("L", (1, 1), 255), Image.new("L", (1, 3000), 0), Image.new("L", (32767, 1), 255),
    Image.fromarray((numpy.random.default_rng(7).random((300, 300)) < 0.5).astype("uint8") * 255)],
    ids=["blank", "a pixel", "narrow", "flat", "noise"])
def test_a_picture_without_text_has_no_lines(server, picture):
    assert found(server, picture) == []


def test_pictures_at_once_are_not_mixed(start):
    """More of them than workers, and more than one on each."""
    server = start(example("ocr.so"), options=[*OPTIONS, "--workers", "2", "--concurrency", "3"])
    pages = [[f"{word} page of several", LINE, f"the end of {word}"]
             for word in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")]
    streams = [stream(server, printed.page(lines)[0]) for lines in pages]
    for lines, pending in zip(pages, streams):
        with pending:
            assert [wire.output_of(line)["text"] for line in pending.all()] == lines


# ---- one line after the other ------------------------------------------------------------------------


class Gate:
    """Lets a worker recognise so many lines."""

    def __init__(self, path):
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.fd = os.open(path, os.O_RDWR)

    def let(self, count):
        os.write(self.fd, b"." * count)

    def left(self):
        """How many may still be recognised."""
        return struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)))[0]


@pytest.fixture
def gated(start, tmp_path):
    """A server whose worker waits before each line, and what it waits for."""
    library = compile_c(os.path.join(HERE, "fakes/tesseract_gate.c"), tmp_path / "gate.so", "-shared", "-fPIC", "-ldl")
    gate = Gate(tmp_path / "gate")
    server = start(example("ocr.so"), worker_options="verify_asan_link_order=0", options=[
        *OPTIONS, "--concurrency", "2", "--cancel-grace", "0", "--env", f"LD_PRELOAD={library}", "--env", f"OCR_GATE={tmp_path}/gate"])
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, gate.fd)
        yield server, gate


def test_a_line_comes_before_the_next_one_is_recognised(gated):
    server, gate = gated
    with stream(server, printed.page(LINES)[0]) as lines:
        for text in LINES:
            gate.let(1)
            assert wire.output_of(lines.next())["text"] == text
        assert lines.all() == []
    assert gate.left() == 0


@pytest.mark.parametrize("how", ["leaves", "cancels"])
def test_after_a_cancel_no_other_line_is_recognised(gated, how):
    """The line that is at hand is ended, and the worker serves on."""
    server, gate = gated
    with stream(server, printed.page(LINES)[0]) as lines:
        gate.let(1)
        run = lines.next()["id"]
        if how == "cancels":
            assert server.ask("DELETE", f"/v4/runs/{run}").status == 200
            assert lines.all()[-1]["state"] == "failed"
    server.wait_run_end(run)
    gate.let(5)
    assert texts(server, printed.page([LINE])[0]) == [LINE]
    assert gate.left() in (3, 4)  # one for the line at hand, where it had been begun


def test_a_short_picture_has_its_turn_between_the_lines_of_a_long_one(gated):
    server, gate = gated
    with stream(server, printed.page(LINES)[0]) as long:
        gate.let(1)
        long_run = long.next()["id"]
        with stream(server, printed.page([LINE])[0]) as short:
            wait_until(lambda: server.metric(f'millrace_runs_active{{pipeline="{OCR}"}}') == 2, what="two runs on the worker")
            gate.let(len(LINES) - 2)  # too few for the long one's last line
            assert wire.output_of(short.next())["text"] == LINE
            assert server.get(f"/v4/runs/{long_run}").json()["state"] == "running"
            gate.let(2)
            assert short.all() == []
            assert [wire.output_of(line)["text"] for line in long.all()] == LINES[1:]
    assert gate.left() == 0


# ---- what is refused ---------------------------------------------------------------------------------


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, data=b""):
    """A PNG of 8 bits of grey that says to be so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def jpeg(**options):
    return printed.encoded(printed.page(LINES)[0], "JPEG", quality=90, **options)


def jpeg_of_many_scans():
    data = jpeg(progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * 100 + data[end:]


def jpeg_that_says(width, height):
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def halved(data):
    return data[:len(data) // 2]


def spoilt(data):
    """With other bytes where its pixels are."""
    middle = len(data) // 2
    return data[:middle] + bytes(64) + data[middle + 64:]


WHOLE = printed.encoded(printed.page(LINES)[0])
NO_PICTURE, NO_HEAD = "the file is neither PNG nor JPEG", "the head of the picture is damaged"
DAMAGED, TOO_LARGE = "the picture is damaged, or not whole", "pixels are too many: 32767 each way and 16000000 in all at most"
BAD = {
    "nothing": (b"", NO_PICTURE), "a byte": (b"\x89", NO_PICTURE), "a text": (b"Invoice 4711\n" * 100, NO_PICTURE),
    "a GIF": (printed.encoded(printed.page([LINE])[0], "GIF"), NO_PICTURE),
    "a TIFF": (printed.encoded(printed.page([LINE])[0], "TIFF"), NO_PICTURE),
    "the beginning of a PNG": (WHOLE[:12], NO_HEAD), "the beginning of a JPEG": (jpeg()[:24], NO_HEAD),
    "no pixel": (png(0, 0), NO_HEAD), "no column": (png(0, 5), NO_HEAD), "a head of other numbers": (png(2**31 + 5, 2**31 + 5), NO_HEAD),
    "half a PNG": (halved(WHOLE), DAMAGED), "half a JPEG": (halved(jpeg()), DAMAGED),
    "a PNG with other bytes": (spoilt(WHOLE), DAMAGED), "a PNG without pixels": (png(500, 500), DAMAGED),
    "a PNG of too few pixels": (png(500, 500, bytes(501 * 100)), DAMAGED), "a JPEG of no height": (jpeg_that_says(500, 0), NO_HEAD),
    "a bomb": (png(30000, 30000, bytes(30001 * 100)), "30000 x 30000 " + TOO_LARGE),
    "a wide bomb": (png(2**31 - 1, 1), "2147483647 x 1 " + TOO_LARGE), "a high bomb": (png(1, 32768), "1 x 32768 " + TOO_LARGE),
    "just too large": (png(4000, 4001), "4000 x 4001 " + TOO_LARGE),
    "a JPEG bomb": (jpeg_that_says(65000, 65000), "65000 x 65000 " + TOO_LARGE),
    "many scans": (jpeg_of_many_scans(), "the picture has more than 100 scans"),
}


@pytest.mark.parametrize("bad", sorted(BAD))
def test_what_is_no_fit_picture_is_an_input_error_and_harms_nobody(server, bad):
    data, reason = BAD[bad]
    before = pids(server)
    with stream(server, printed.page(LINES)[0]) as lines:
        assert reason in refused(server, data)
        assert [wire.output_of(line)["text"] for line in lines.all()] == LINES
    assert pids(server) == before


def test_the_largest_picture_is_read(server):
    image = Image.new("L", (4000, 4000), 255)
    printed.draw(image, [LINE], 3000, 3900)
    line, = found(server, image)
    assert line["text"] == LINE and line["box"]["x"] > 2990 and line["box"]["y"] > 3890


@pytest.mark.parametrize("language, layout, reason", [
    ("fra", None, "no such language; there are: eng"), ("../eng", None, "no such language"), ("", None, "no such language"),
    (None, "pages", 'no such layout; there are: ["page",'), ("eng", "", "no such layout")])
def test_a_language_or_layout_that_is_none_is_an_input_error_that_names_those_there_are(server, language, layout, reason):
    assert reason in refused(server, printed.page([LINE])[0], language, layout)


# ---- the start ---------------------------------------------------------------------------------------


def test_the_languages_that_are_named_are_loaded_and_the_first_is_the_default(start, tmp_path):
    for name in ("some", "other"):
        shutil.copy(os.path.join(TESSDATA, "eng.traineddata"), tmp_path / f"{name}.traineddata")
    server = start(example("ocr.so"), options=[
        *OPTIONS, "--env", f"TESSDATA_PREFIX={tmp_path}", "--env", "OCR_LANGUAGES=some some+other"])
    image, _ = printed.page([LINE])
    for language in (None, "some", "some+other"):
        assert texts(server, image, language) == [LINE]
    assert refused(server, image, "other").endswith("there are: some some+other")


@pytest.mark.parametrize("languages, reason", [
    ("eng nowhere", 'the language "nowhere" cannot be loaded (Debian: apt-get install tesseract-ocr-nowhere)'),
    (" ", "OCR_LANGUAGES names no language"), ("eng " * 9, "at most"), ("eng+" * 20, "at most")])
def test_languages_that_cannot_be_had_are_a_startup_error(start, languages, reason):
    server = start(example("ocr.so"), options=[*OPTIONS, "--env", f"OCR_LANGUAGES={languages}"])
    response = server.run(OCR, upload(server, WHOLE), None, None)
    error = response.json()["error"]
    assert error["type"] == "startup_error" and reason in error["message"]


@pytest.mark.parametrize("preload", ["import", "startup"])
def test_workers_that_are_copies_share_what_was_loaded(start, preload):
    server = start(example("ocr.so"), options=[*OPTIONS, "--preload", preload, "--workers", "2"])
    assert pipeline_state(server, OCR)["template"]["state"] == "ready"
    image, _ = printed.page(LINES)
    streams = [stream(server, image) for _ in range(4)]
    for lines in streams:
        with lines:
            assert [wire.output_of(line)["text"] for line in lines.all()] == LINES
    assert len(set(pids(server))) == 2


def test_a_worker_that_would_use_more_threads_says_what_to_do(start):
    server = start(example("ocr.so"), options=["--files", "files"])
    server.wait_log("slow: --env OMP_THREAD_LIMIT=1 was not said")
