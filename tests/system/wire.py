# SPDX-License-Identifier: MIT
"""wire - HTTP/1.1 over a plain socket, strict, with the time at which each line arrived.

Nothing is forgiven: a chunk size in the wrong place, a missing CRLF, a byte behind an answer that said
where it ends, each fails the test.
"""

import json
import re
import socket
import struct
import time

TIMEOUT_S = 30
RUN_ID = re.compile(r"run_[0-9a-f]{32}\Z")
PIPELINE_ID = re.compile(r"pipeline_[0-9a-f]{32}\Z")
LINE_KEYS = ["id", "created_at", "updated_at", "pipeline_id", "state", "queue_position", "inputs",
             "outputs", "error"]
INPUT_KEYS = {"type", "value", "file_name", "file_path", "file_url"}
ERROR_TYPES = {"input_error", "cuda_oom", "cuda_error", "oom", "pipeline_error", "startup_error",
               "pipeline_loading", "timeout", "unknown"}
TYPES = {str: "string", bool: "boolean", int: "integer", float: "fp", list: "array", dict: "dictionary",
         type(None): "none"}


class Closed(Exception):
    """The peer closed or reset the connection where more had to come."""


def as_input(value):
    """An input as clients send it; a dict that has a `type` and no other keys than an input is one already."""
    if isinstance(value, dict) and "type" in value and set(value) <= INPUT_KEYS:
        return value
    return {"type": TYPES[type(value)], "value": value}


def run_body(pointer, values, **members):
    request = {"pipeline": pointer, "inputs": [as_input(value) for value in values], **members}
    return json.dumps({name: value for name, value in request.items() if value is not ...}).encode()


# A request to the example numbers.so: three lines.
RUN = run_body("local/numbers:v1", [3, "x", 0])


def post(body=RUN, path="/v4/runs/stream", fields="", version="1.1"):
    return (f"POST {path} HTTP/{version}\r\nHost: localhost\r\n{fields}Content-Length: {len(body)}\r\n\r\n").encode() + body


def get(path="/livez", fields="", version="1.1"):
    return f"GET {path} HTTP/{version}\r\nHost: localhost\r\n{fields}\r\n".encode()


def chunked(*pieces, last=b"0\r\n\r\n", path="/v4/runs/stream", fields=""):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Transfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


class Response:
    """A whole answer."""

    def __init__(self, status, reason, headers):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""
        self.trailers = []

    def values(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        """The value of a field that is there once, else None."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} comes {len(values)} times"
        return values[0] if values else None

    def json(self):
        assert self.body.endswith(b"\n"), self.body[-80:]
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.reason} {self.headers} {self.body[:500]!r}"


class Connection:
    """One TCP connection to the server under test."""

    def __init__(self, port, timeout_s=TIMEOUT_S, receive_buffer_bytes=None):
        self.socket = socket.socket()
        self.socket.settimeout(timeout_s)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = port
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Leaves with an RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # ---- sending -----------------------------------------------------------------------------------

    def send(self, data):
        self.socket.sendall(data)

    def head(self, method, path, headers):
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def request(self, method, path, body=None, headers=None):
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
            fields.setdefault("Content-Length", len(body))
        self.send(self.head(method, path, fields) + (body or b""))

    # ---- receiving ---------------------------------------------------------------------------------

    def receive(self):
        """More bytes; raises Closed at the end."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError as error:
            raise Closed("reset") from error
        if not data:
            raise Closed("end of file")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def take_line(self):
        while b"\r\n" not in self.buffer:
            assert b"\n" not in self.buffer, f"a bare LF: {self.buffer[:200]!r}"
            self.receive()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take_fields(self):
        fields = []
        while line := self.take_line():
            match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x20-\x7e]*)", line)
            assert match, f"a malformed field: {line!r}"
            fields.append((match[1].decode(), match[2].decode()))
        return fields

    def response_head(self):
        line = self.take_line().decode("latin-1")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) ([ -~]+)", line)
        assert match, f"a malformed status line: {line!r}"
        return Response(int(match[1]), match[2], self.take_fields())

    def body_pieces(self, response, method="GET"):
        """The body as it arrives, out of its framing."""
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return
        if response.header("Transfer-Encoding") == "chunked":
            assert response.header("Content-Length") is None
            while size := self.chunk_size():
                yield self.take(size)
                assert self.take(2) == b"\r\n"
            response.trailers = self.take_fields()
        elif response.header("Content-Length") is not None:
            yield self.take(int(response.header("Content-Length")))
        else:
            assert response.header("Connection") == "close", "no framing and no close"
            yield from self.until_end()

    def chunk_size(self):
        line = self.take_line()
        assert re.fullmatch(rb"[0-9a-fA-F]+", line), f"a malformed chunk size: {line!r}"
        return int(line, 16)

    def until_end(self):
        while True:
            if self.buffer:
                data, self.buffer = self.buffer, b""
                yield data
            try:
                self.receive()
            except Closed as closed:
                if str(closed) != "end of file":
                    raise
                return

    def response(self, method="GET"):
        response = self.response_head()
        response.body = b"".join(self.body_pieces(response, method))
        return response

    def is_closed(self):
        """True when the server ends the connection without another byte."""
        assert self.buffer == b"", self.buffer[:200]
        try:
            self.receive()
        except Closed:
            return True
        return False


class Stream:
    """A run's stream, line by line."""

    def __init__(self, connection, body, headers=None, path="/v4/runs/stream"):
        self.connection = connection
        self.times = []
        self.blank_count = 0
        self.response = None
        self._pieces = None
        self._lines = self._read_lines()
        self.connection.request("POST", path, body, headers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def begin(self):
        """Reads the head, which comes with the first line or later."""
        if self.response is None:
            self.response = self.connection.response_head()
            self._pieces = self.connection.body_pieces(self.response)
        return self.response

    def _read_lines(self):
        self.begin()
        rest = []
        for piece in self._pieces:
            now = time.monotonic()
            *whole, tail = piece.split(b"\n")
            for line in whole:
                line = b"".join([*rest, line])
                rest = []
                if line:
                    self.times.append(now)
                    yield line
                else:
                    self.blank_count += 1
            rest.append(tail)
        assert not any(rest), f"the last line has no end: {rest[-1][-200:]!r}"

    def next_piece(self):
        """What the next HTTP chunk holds; only for streams that are not read by lines meanwhile."""
        self.begin()
        return next(self._pieces)

    def raw_lines(self):
        """Every line that is left, as bytes."""
        return self._lines

    def __iter__(self):
        return (check_line(line) for line in self._lines)

    def next(self):
        return next(iter(self))

    def all(self):
        """Every line that is left, up to a proper end."""
        self.begin()
        assert self.response.status == 200, self.response
        assert self.response.header("Content-Type") == "application/x-ndjson"
        return list(self)

    @property
    def trailers(self):
        return dict(self.response.trailers)


def check_line(line):
    """A line is what section 3 of the API says; returns it as a dict."""
    value = json.loads(line)
    assert list(value)[:len(LINE_KEYS)] == LINE_KEYS, list(value)
    assert RUN_ID.match(value["id"])
    assert PIPELINE_ID.match(value["pipeline_id"])
    assert 1e9 < value["created_at"] <= value["updated_at"] < 1e10
    error = value["error"]
    if error is None:
        assert value["state"] in (["running", "completed"] if value["outputs"] else
                                  ["routing", "queued", "running", "completed"]), value
    else:
        assert list(error) == ["type", "message", "traceback"]
        assert error["type"] in ERROR_TYPES
        assert error["message"]
        assert value["state"] in ("failed", "no_resources_available")
        assert value["outputs"] is None
    for output in value["outputs"] or []:
        assert list(output) == ["type", "value", "file"]
        if output["type"] == "file":
            assert output["value"] is None
            assert list(output["file"]) == ["name", "path", "size", "url"]
        else:
            assert output["type"] in TYPES.values()
            assert output["file"] is None
    return value


def result_of(response):
    """A whole answer that is one result line."""
    assert response.body.count(b"\n") == 1 and response.body.endswith(b"\n")
    return check_line(response.body)


def numbers_of(body):
    return [output_of(check_line(line))["i"] for line in body.splitlines()]


def assert_refused(connection, status):
    """One answer that says why, and the end of the connection; nothing behind it is answered."""
    response = connection.response()
    assert response.status == status, response
    assert response.header("Content-Type") == "application/json"
    assert isinstance(response.json()["detail"], str)
    assert response.header("Connection") == "close"
    assert connection.is_closed()


def output_of(line, index=0):
    assert line["error"] is None, line
    return line["outputs"][index]["value"]
