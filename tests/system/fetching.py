# SPDX-License-Identifier: MIT
"""fetching - the fetcher's own process, asked as the server asks it, and servers that it meets.

The messages are those of dispatcher/fetcher/fetch_message.h.
"""

import contextlib
import dataclasses
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from server import MADE

BUILD = pathlib.Path(MADE)
MAGIC = 0x6D726665
ALLOW, GET, POST, CANCEL = 1, 2, 3, 4
PROGRESS, ALIVE, DONE, FAILED = 1, 2, 3, 4
FAULTS = ("none", "url", "address", "connect", "timeout", "status", "size", "answer", "disk", "ours")
REQUEST = struct.Struct("=IIQQIIII")
ANSWER = struct.Struct("=IIQQII512s256s")
LARGEST = 1 << 26


@dataclasses.dataclass
class Answer:
    """What came of one URL: `fault` is "none" when it came, and `data` is what is in the file."""

    number: int
    kind: int
    bytes: int
    status: int
    fault: str
    reason: str
    name: bytes
    data: bytes = b""
    progress: list = dataclasses.field(default_factory=list)


class Fetcher:
    """One process; `allow` are rules of --fetch-allow."""

    def __init__(self, allow=(), environment=None, largest=LARGEST):
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.number, self.files, self.over, self.progress = 0, {}, {}, {}
        with other:
            self.process = subprocess.Popen(
                ["millrace-fetcher", str(os.getpid()), str(largest)], executable=BUILD / "millrace",
                env={"PATH": os.environ["PATH"], **(environment or {})},
                preexec_fn=lambda: self.prepare(other), pass_fds=(3,))
        for rule in allow:
            self.send(ALLOW, rule)

    @staticmethod
    def prepare(other):
        """As the server does it: its socket is 3, and no signal is heard."""
        os.dup2(other.fileno(), 3)
        os.set_inheritable(3, True)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def send(self, kind, text="", number=0, size=0, timeout_ms=0, slow_s=0, file=None):
        data = text.encode() if isinstance(text, str) else text
        head = REQUEST.pack(MAGIC, kind, number, size, timeout_ms, slow_s, len(data), 0)
        if file is None:
            self.socket.send(head + data)
        else:
            socket.send_fds(self.socket, [head + data], [file.fileno()])

    def begin(self, url, limit=1 << 20, timeout_ms=8000, slow_s=0):
        self.number += 1
        self.files[self.number] = tempfile.TemporaryFile()
        self.send(GET, url, self.number, limit, timeout_ms, slow_s, self.files[self.number])
        return self.number

    def begin_post(self, url, body, timeout_ms=8000):
        self.number += 1
        self.files[self.number] = file = tempfile.TemporaryFile()
        file.write(body)
        file.flush()
        self.send(POST, url, self.number, len(body), timeout_ms, 0, file)
        return self.number

    def hear(self, seconds=15.0):
        """The next message but ALIVE; None when the process ended."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.socket], [], [], left)[0], "the fetcher says nothing"
            try:
                data = self.socket.recv(2 * ANSWER.size)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            magic, kind, number, count, status, fault, reason, name = ANSWER.unpack(data)
            assert magic == MAGIC
            if kind != ALIVE:
                return Answer(number, kind, count, status, FAULTS[fault], reason.split(b"\0")[0].decode(),
                              name.split(b"\0")[0])

    def end(self, number, seconds=15.0):
        """Waits for the end of this one."""
        while number not in self.over:
            answer = self.hear(seconds)
            assert answer, "the fetcher ended"
            if answer.kind == PROGRESS:
                self.progress.setdefault(answer.number, []).append(answer.bytes)
            else:
                self.over[answer.number] = answer
        answer = self.over.pop(number)
        with self.files.pop(number) as file:
            file.seek(0)
            answer.data = file.read()
        answer.progress = self.progress.pop(number, [])
        return answer

    def get(self, url, **options):
        return self.end(self.begin(url, **options))

    def post(self, url, body, **options):
        return self.end(self.begin_post(url, body, **options))

    def close(self):
        self.socket.close()
        self.process.wait(10)
        for file in self.files.values():
            file.close()


class Target:
    """A server of raw answers on one address: `answer(connection, head)` for each connection, which is closed then."""

    def __init__(self, answer, host="127.0.0.1", port=0, wrap=None):
        self.socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.answer, self.wrap, self.connections, self.heads = answer, wrap, 0, []
        self.host, self.port = self.socket.getsockname()[:2]
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def place(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path="/"):
        return f"http{'s' if self.wrap else ''}://{self.place}{path}"

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.meet, args=(connection,), daemon=True).start()

    def meet(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.wrap:
                connection = self.wrap(connection)
            connection.settimeout(20)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            self.answer(connection, head)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def whole(body=b"hello", status="200 OK", headers=()):
    """An answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def says(data):
    """What Target answers every request with."""
    return lambda connection, head: connection.sendall(data)
