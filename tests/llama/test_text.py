# SPDX-License-Identifier: MIT
"""Text on its way to the client: whole characters, and no stop string, however its bytes were cut."""

import ctypes
import random

import pytest

STOP_MAX, PIECE_MAX = 256, 1024
SEED = 5


class Stop(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char_p), ("count", ctypes.c_size_t)]


class Text(ctypes.Structure):
    _fields_ = [("stops", ctypes.POINTER(Stop)), ("stop_count", ctypes.c_size_t), ("is_stopped", ctypes.c_bool),
                ("ready", ctypes.c_size_t), ("count", ctypes.c_size_t), ("half", ctypes.c_size_t),
                ("bytes", ctypes.c_char * (4 * (STOP_MAX + PIECE_MAX)))]


@pytest.fixture(scope="module")
def library(text_library):
    library = ctypes.CDLL(text_library)
    library.text_add.argtypes = [ctypes.POINTER(Text), ctypes.c_char_p, ctypes.c_size_t]
    library.utf8_is_valid.restype = ctypes.c_bool
    library.utf8_is_valid.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library


def sent(library, pieces, stops=()):
    """What a client is given of these pieces, and whether a stop string ended it."""
    array = (Stop * max(1, len(stops)))(*(Stop(stop, len(stop)) for stop in stops))
    text, out = Text(stops=array, stop_count=len(stops)), []

    def take():
        out.append(ctypes.string_at(ctypes.addressof(text) + Text.bytes.offset, text.ready))
        out[-1].decode()
        library.text_take(ctypes.byref(text))

    for piece in pieces:
        library.text_add(ctypes.byref(text), piece, len(piece))
        if text.is_stopped:
            take()
            return b"".join(out), True
        take()
    library.text_end(ctypes.byref(text))
    take()
    return b"".join(out), False


def cleaned(data):
    """Each byte that is no UTF-8 is one U+FFFD; Python's own way makes one of several bytes."""
    out = b""
    while data:
        for count in (1, 2, 3, 4):
            try:
                data[:count].decode()
            except UnicodeDecodeError:
                continue
            out += data[:count]
            data = data[count:]
            break
        else:
            out += "\ufffd".encode()
            data = data[1:]
    return out


def cut(chance, data):
    pieces = []
    while data:
        count = chance.randint(1, 5)
        pieces.append(data[:count])
        data = data[count:]
    return pieces


def test_characters_that_are_cut_come_whole(library):
    words = "a\u00e9\u20ac\U0001f600z"
    data = words.encode()
    assert sent(library, [bytes([byte]) for byte in data]) == (data, False)


def test_a_half_character_at_the_end_is_a_replacement_for_each_of_its_bytes(library):
    assert sent(library, [b"a", b"\xe2", b"\x82"]) == ("a\ufffd\ufffd".encode(), False)


def test_a_stop_string_is_found_across_pieces_and_nothing_of_it_is_sent(library):
    assert sent(library, [b"one EN", b"D", b" two"], [b"END"]) == (b"one ", True)
    assert sent(library, [b"EN", b"EN", b"D"], [b"END"]) == (b"EN", True)
    assert sent(library, [b"EN"], [b"END"]) == (b"EN", False)


def test_whatever_is_cut_where_the_text_is_that_before_the_first_stop_string(library):
    chance = random.Random(SEED)
    alphabet = [b"a", b"b", b"\n", "\u00e9".encode(), "\U0001f600".encode(), b"\xff", b"\xc3", b"\xf0\x9f", b"\x00"]
    for _ in range(20000):
        data = b"".join(chance.choice(alphabet) for _ in range(chance.randint(0, 12)))
        stops = ["".join(chance.choice("ab\n\u00e9") for _ in range(chance.randint(1, 4))).encode() for _ in range(chance.randint(0, 3))]
        whole = cleaned(data)
        # A stop string ends the answer when its last byte comes: the one that ends first.
        pieces = cut(chance, data)
        said, is_stopped = sent(library, pieces, stops)
        if not is_stopped:
            assert said == whole and not any(stop in whole for stop in stops), (pieces, stops)
        else:
            assert any(whole.startswith(said + stop) for stop in stops), (pieces, stops, said)
            assert not any(stop in said for stop in stops), (pieces, stops, said)


def test_what_is_valid_is_what_python_takes(library):
    chance = random.Random(SEED)
    for _ in range(20000):
        data = bytes(chance.choice(b"\x00a\x7f\x80\x9f\xa0\xbf\xc1\xc2\xe0\xe1\xed\xef\xf0\xf1\xf4\xf5\xff") for _ in range(chance.randint(0, 5)))
        try:
            data.decode()
            is_valid = True
        except UnicodeDecodeError:
            is_valid = False
        assert library.utf8_is_valid(data, len(data)) == is_valid, data
