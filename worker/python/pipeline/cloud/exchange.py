# SPDX-License-Identifier: MIT
"""exchange - one request on a connection of its own, and the results in its answer as they come.

Redirects are not followed: a token is for the server that it was given for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import urllib.parse
from typing import TYPE_CHECKING

from pipeline.cloud.answers import ResultReader
from pipeline.cloud.errors import ConnectionBroken
from pipeline.configuration import current_configuration

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
    from typing import TypeVar, Union

    from typing_extensions import TypedDict

    from pipeline.cloud.results import RunResult

    Given = TypeVar("Given")
    # The bytes of a request, or what takes its time to make them.
    Request = Union[bytes, Callable[[], bytes]]

    class Where(TypedDict, total=False):
        """What every call of the client takes by name."""

        url: str | None
        token: str | None
        timeout_s: float | None
        ssl_context: ssl.SSLContext | None

DEFAULT_URL = "http://127.0.0.1:8080"
RECEIVE_BYTES = 256 * 1024
USER_AGENT = "millrace-pipeline/0.1.0"


class Endpoint:
    """Where requests go, and as whom. `timeout_s` is the longest silence in seconds, None for any.
    ValueError for a URL that is none."""

    def __init__(self, url: str | None = None, token: str | None = None, timeout_s: float | None = None,
                 ssl_context: ssl.SSLContext | None = None) -> None:
        # A token goes to the server that it was given for, so what is configured is taken together.
        remote = None if url else current_configuration.active_remote
        if remote is not None:
            url, token = remote.url, remote.token or "" if token is None else token
        url = url or os.environ.get("PIPELINE_API_URL") or DEFAULT_URL
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no base URL: http://HOST:PORT or https://HOST was expected")
        self.is_tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.is_tls else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        self.prefix = parts.path.rstrip("/")
        self.token = token if token is not None else os.environ.get("PIPELINE_API_TOKEN")
        self.timeout_s = timeout_s
        self.ssl_context = ssl_context

    def context(self) -> ssl.SSLContext | None:
        """How to encrypt; None: not at all."""
        if not self.is_tls:
            return None
        return self.ssl_context or ssl.create_default_context()

    def url_of(self, path: str) -> str:
        """The whole URL of a path."""
        return f"{'https' if self.is_tls else 'http'}://{self.authority}{self.prefix}{path}"

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The bytes of a request, whose body is JSON. ValueError when the URL or the token cannot be in one."""
        fields = () if body is None else ("Content-Type: application/json", f"Content-Length: {len(body)}")
        return self.head(method, path, fields) + (body or b"")

    def head(self, method: str, path: str, more: Iterable[str] = ()) -> bytes:
        """The head of a request, with more fields. ValueError as for request()."""
        fields = [f"{method} {self.prefix}{path} HTTP/1.1", f"Host: {self.authority}",
                  f"User-Agent: {USER_AGENT}", "Accept: application/json", "Connection: close", *more]
        if self.token:
            fields.append(f"Authorization: Bearer {self.token}")
        if any(character in field for field in fields for character in "\r\n\0"):
            raise ValueError("neither the URL nor the token may have line breaks in it")
        return ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1")

    def overdue(self) -> TimeoutError:
        """What to raise when nothing came within `timeout_s`."""
        return TimeoutError(f"no sign of life from {self.authority} in {self.timeout_s} s")

    def failure(self, error: OSError) -> OSError:
        """What a failure to receive means. One without a number is no failure of the system: time is up."""
        if isinstance(error, (socket.timeout, TimeoutError)) and error.errno is None:
            return self.overdue()
        return ConnectionBroken(f"the connection broke: {error}")


# ---- synchronous ---------------------------------------------------------------------------------

def exchange(endpoint: Endpoint, request: Request,
             raises_refusals: bool = True) -> Generator[RunResult, None, None]:
    """The results as they come. Closing this generator closes the connection, which ends the run."""
    reader = ResultReader(raises_refusals, endpoint.url_of(""))
    data = request if isinstance(request, bytes) else request()
    connection = connect(endpoint)
    try:
        send(connection, data)
        while not reader.is_done:
            yield from reader.feed(receive(connection, endpoint))
    finally:
        connection.close()


def connect(endpoint: Endpoint) -> socket.socket:
    """A connection, encrypted where that was asked for. OSError when there is none to be had."""
    try:
        return connect_now(endpoint)
    except socket.timeout as error:
        if error.errno is not None:
            raise
        raise endpoint.overdue() from None


def connect_now(endpoint: Endpoint) -> socket.socket:
    connection = socket.create_connection((endpoint.host, endpoint.port), endpoint.timeout_s)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # So that a peer that vanished without a word is noticed some day, also without a time limit.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        context = endpoint.context()
        return context.wrap_socket(connection, server_hostname=endpoint.host) if context else connection
    except BaseException:
        connection.close()
        raise


def send(connection: socket.socket, data: bytes) -> bool:
    """All of it, or as much of it as the server wants. Whether that was all."""
    try:
        connection.sendall(data)
    except ConnectionError:
        return False  # a server that refuses the half of a request has answered: that is read next
    return True


def receive(connection: socket.socket, endpoint: Endpoint) -> bytes:
    """What came next; b"" at the end. TimeoutError or ConnectionBroken."""
    try:
        return connection.recv(RECEIVE_BYTES)
    except OSError as error:
        raise endpoint.failure(error) from error


# ---- asynchronous --------------------------------------------------------------------------------

async def exchange_async(endpoint: Endpoint, request: Request,
                         raises_refusals: bool = True) -> AsyncGenerator[RunResult, None]:
    """Likewise, as an asynchronous generator."""
    reader = ResultReader(raises_refusals, endpoint.url_of(""))
    data = request if isinstance(request, bytes) else await asyncio.to_thread(request)
    source, sink = await open_async(endpoint)
    try:
        sink.write(data)
        while not reader.is_done:
            for result in reader.feed(await receive_async(source, endpoint)):
                yield result
    finally:
        # At once: a generator that is being closed should not wait for the other side.
        sink.transport.abort()


async def open_async(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As connect()."""
    source, sink = await bounded(endpoint, asyncio.open_connection(
        endpoint.host, endpoint.port, ssl=endpoint.context(), limit=RECEIVE_BYTES))
    sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return source, sink


async def receive_async(source: asyncio.StreamReader, endpoint: Endpoint) -> bytes:
    """As receive()."""
    try:
        return await bounded(endpoint, source.read(RECEIVE_BYTES))
    except OSError as error:
        raise endpoint.failure(error) from error


async def bounded(endpoint: Endpoint, awaitable: Awaitable[Given]) -> Given:
    """What the awaitable gives. TimeoutError when that takes longer than `timeout_s`."""
    if endpoint.timeout_s is None:
        return await awaitable
    try:
        return await asyncio.wait_for(awaitable, endpoint.timeout_s)
    except asyncio.TimeoutError:
        raise endpoint.overdue() from None
