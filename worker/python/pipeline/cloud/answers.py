# SPDX-License-Identifier: MIT
"""answers - reads HTTP/1.1 answers out of bytes, wherever the bytes come from.

    bytes -> Answer: head, body without its framing, proof of the end
          -> ResultReader: lines, JSON, results or the exception that stands for them

The synchronous and the asynchronous client differ in how bytes come, and in nothing else. An answer is whole
when its framing says so: when the last chunk or as many bytes as announced have come. The end of a
connection proves nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.cloud.errors import APIError, ConnectionBroken, NoResourcesAvailable
from pipeline.cloud.results import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fields = dict[str, str]
    # Bytes of the body, in order.
    Pieces = list[bytes]

HEAD_BYTES_MAX = 64 * 1024
SIZE_LINE_BYTES_MAX = 4 * 1024


class Malformed(ConnectionBroken):
    """What came is no HTTP answer."""


class Answer:
    """One answer to a request that was no HEAD. `status` is 0 until the head has come; names of headers and
    trailers are in lower case."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Fields = {}
        self.trailers: Fields = {}
        self.is_whole = False
        self._bytes = b""
        self._at = 0
        self._left = 0
        self._step: Callable[[Pieces], bool] = self._in_head

    def feed(self, data: bytes) -> bytes:
        """Takes bytes of the connection; returns those of the body that are in them. Malformed when they are
        no HTTP."""
        self._bytes = self._bytes[self._at:] + data
        self._at = 0
        pieces: Pieces = []
        while self._step(pieces):
            pass
        return b"".join(pieces)

    def end(self) -> None:
        """The connection has ended: ConnectionBroken unless all had been said."""
        if not self.is_whole:
            if self.status == 0:
                what = "an answer began" if not self._bytes else "the answer's head was whole"
            else:
                what = "the answer was whole"
            raise ConnectionBroken(f"the connection ended before {what}")

    # ---- steps: each says whether it got anywhere -------------------------------------------------

    def _take_line(self, bytes_max: int) -> bytes | None:
        """The next line, or None while it has no end."""
        end = self._bytes.find(b"\n", self._at)
        if (end if end >= 0 else len(self._bytes)) - self._at > bytes_max:
            raise Malformed("the answer is no HTTP: a line without an end")
        if end < 0:
            return None
        line = self._bytes[self._at:end]
        self._at = end + 1
        return line[:-1] if line.endswith(b"\r") else line

    def _take_fields(self) -> Fields | None:
        """The head's or the trailer's fields, or None while they have no end."""
        end = self._bytes.find(b"\r\n\r\n", self._at)
        if self._bytes.startswith(b"\r\n", self._at):
            self._at += 2
            return {}
        if (end if end >= 0 else len(self._bytes)) - self._at > HEAD_BYTES_MAX:
            raise Malformed("the answer is no HTTP: a head without an end")
        if end < 0:
            return None
        lines = self._bytes[self._at:end].decode("latin-1").split("\r\n")
        self._at = end + 4
        pairs = (line.partition(":") for line in lines)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    def _in_head(self, _pieces: Pieces) -> bool:
        start = self._at
        if self._bytes and not (self._bytes.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(self._bytes)):
            raise Malformed(f"the answer is no HTTP: {self._bytes[:40]!r}")
        line = self._take_line(HEAD_BYTES_MAX)
        fields = None if line is None else self._take_fields()
        if line is None or fields is None:
            self._at = start
            return False
        words = line.split(None, 2)
        if len(words) < 2 or not words[1].isdigit() or len(words[1]) != 3:
            raise Malformed(f"the answer is no HTTP: {line[:40]!r}")
        if words[1].startswith(b"1"):
            return True  # an interim answer: the real one follows
        self.status = int(words[1])
        self.headers = fields
        self._choose_body()
        return True

    def _choose_body(self) -> None:
        length = self.headers.get("content-length")
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self._step = self._in_size
        elif self.status in (204, 304):
            self._finish()
        elif length is None:
            self._step = self._in_endless
        elif length.isdigit():
            self._left = int(length)
            self._step = self._in_length
        else:
            raise Malformed(f"the answer is no HTTP: a length of {length[:40]!r}")

    def _finish(self) -> None:
        self.is_whole = True
        self._step = self._in_nothing

    def _in_nothing(self, _pieces: Pieces) -> bool:
        return False

    def _in_endless(self, pieces: Pieces) -> bool:
        # Neither length nor chunks: nobody can tell whether all of it came. end() will say so.
        pieces.append(self._bytes[self._at:])
        self._at = len(self._bytes)
        return False

    def _take_body(self, pieces: Pieces) -> None:
        piece = self._bytes[self._at:self._at + self._left]
        self._at += len(piece)
        self._left -= len(piece)
        pieces.append(piece)

    def _in_length(self, pieces: Pieces) -> bool:
        self._take_body(pieces)
        if self._left == 0:
            self._finish()
        return False

    def _in_size(self, _pieces: Pieces) -> bool:
        line = self._take_line(SIZE_LINE_BYTES_MAX)
        if line is None:
            return False
        digits = line.partition(b";")[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF") or len(digits) > 16:
            raise Malformed(f"the answer is no HTTP: a chunk of {line[:40]!r} bytes")
        self._left = int(digits, 16)
        self._step = self._in_chunk if self._left else self._in_trailer
        return True

    def _in_chunk(self, pieces: Pieces) -> bool:
        self._take_body(pieces)
        if self._left > 0 or len(self._bytes) - self._at < 2:
            return False
        if self._bytes[self._at:self._at + 2] != b"\r\n":
            raise Malformed("the answer is no HTTP: a chunk that is longer than it says")
        self._at += 2
        self._step = self._in_size
        return True

    def _in_trailer(self, _pieces: Pieces) -> bool:
        fields = self._take_fields()
        if fields is None:
            return False
        self.trailers = fields
        self._finish()
        return False


class ResultReader:
    """The results in an answer. `raises_refusals`: a run that was refused is NoResourcesAvailable."""

    def __init__(self, raises_refusals: bool = True, url: str = "") -> None:
        self.answer = Answer()
        self.url = url
        self.raises_refusals = raises_refusals
        self.line_count = 0
        self._rest: Pieces = []  # of a line without an end; of anything but a 200 all there is

    @property
    def is_done(self) -> bool:
        """Whether the answer has come to its end."""
        return self.answer.is_whole

    def feed(self, data: bytes) -> Iterator[RunResult]:
        """Takes bytes of the connection, b"" at its end; gives the results in them, in order, and raises
        what is not one."""
        body = self.answer.feed(data)
        if self.answer.status != 200:
            self._rest.append(body)
        else:
            yield from self._take_lines(body)
        if not data:
            self.answer.end()
        if self.answer.is_whole:
            yield from self._take_end()

    def _take_lines(self, body: bytes) -> Iterator[RunResult]:
        *lines, rest = body.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest.clear()
        self._rest.append(rest)
        for line in lines:
            if line.strip():
                yield self._result(line)

    def _take_end(self) -> Iterator[RunResult]:
        rest = b"".join(self._rest)
        self._rest.clear()
        if rest.strip():
            yield self._result(rest)
        elif self.answer.status != 200:
            raise self._refusal(b"nothing more")
        self._check_count()

    def _check_count(self) -> None:
        """The server counts, too: lines with outputs, not that of a failure."""
        said = self.answer.trailers.get("millrace-run-lines", "")
        if said.isdigit() and int(said) != self.line_count:
            raise ConnectionBroken(f"{self.line_count} lines came, of {said}")

    def _result(self, text: bytes) -> RunResult:
        status = self.answer.status
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict) or not isinstance(said.get("state"), str):
            raise self._refusal(text)
        result = RunResult(said)
        self.line_count += result.error is None
        if result.state == "no_resources_available" and self.raises_refusals:
            seconds = self.answer.headers.get("retry-after", "")
            raise NoResourcesAvailable(result, status=status, retry_after_s=int(seconds) if seconds.isdigit() else None)
        return result

    def _refusal(self, text: bytes) -> APIError:
        """Of an answer that is no result."""
        return APIError.of_answer(self.url, self.answer.status, text, self.answer.headers.get("x-correlation-id"))
