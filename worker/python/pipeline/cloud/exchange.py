# SPDX-License-Identifier: MIT
"""exchange - one request on a connection of its own, and the results in its answer as they come.

Redirects are not followed: a token is for the server that it was given for.
"""

import asyncio
import os
import socket
import ssl
import urllib.parse

from pipeline.cloud.answers import ResultReader
from pipeline.cloud.errors import ConnectionBroken

DEFAULT_URL = "http://127.0.0.1:8080"
RECEIVE_BYTES = 256 * 1024
USER_AGENT = "millrace-pipeline/0.1.0"


class Endpoint:
    """Where requests go, and as whom."""

    def __init__(self, url=None, token=None, timeout_s=None, ssl_context=None):
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

    def context(self):
        """How to encrypt; None: not at all."""
        if not self.is_tls:
            return None
        return self.ssl_context or ssl.create_default_context()

    def request(self, method, path, body=None):
        """The bytes of a request."""
        fields = [f"{method} {self.prefix}{path} HTTP/1.1", f"Host: {self.authority}",
                  f"User-Agent: {USER_AGENT}", "Accept: application/json", "Connection: close"]
        if self.token:
            fields.append(f"Authorization: Bearer {self.token}")
        if body is not None:
            fields += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if any(character in field for field in fields for character in "\r\n\0"):
            raise ValueError("neither the URL nor the token may have line breaks in it")
        return ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1") + (body or b"")

    def overdue(self):
        return TimeoutError(f"no sign of life from {self.authority} in {self.timeout_s} s")

    def failure(self, error):
        """What a failure to receive means. One without a number is no failure of the system: time is up."""
        if isinstance(error, (socket.timeout, TimeoutError)) and error.errno is None:
            return self.overdue()
        return ConnectionBroken(f"the connection broke: {error}")


# ---- synchronous ---------------------------------------------------------------------------------

def exchange(endpoint, request, raises_refusals=True):
    """The results as they come. Closing this generator closes the connection, which ends the run."""
    reader = ResultReader(raises_refusals)
    try:
        connection = connect(endpoint)
    except socket.timeout as error:
        if error.errno is not None:
            raise
        raise endpoint.overdue() from None
    try:
        send(connection, request)
        while not reader.is_done:
            yield from reader.feed(receive(connection, endpoint))
    finally:
        connection.close()


def connect(endpoint):
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


def send(connection, request):
    try:
        connection.sendall(request)
    except ConnectionError:
        pass  # a server that refuses the half of a request has answered: that is read next


def receive(connection, endpoint):
    try:
        return connection.recv(RECEIVE_BYTES)
    except OSError as error:
        raise endpoint.failure(error) from error


# ---- asynchronous --------------------------------------------------------------------------------

async def exchange_async(endpoint, request, raises_refusals=True):
    """Likewise, as an asynchronous generator."""
    reader = ResultReader(raises_refusals)
    source, sink = await bounded(endpoint, asyncio.open_connection(
        endpoint.host, endpoint.port, ssl=endpoint.context(), limit=RECEIVE_BYTES))
    try:
        sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sink.write(request)
        while not reader.is_done:
            for result in reader.feed(await receive_async(source, endpoint)):
                yield result
    finally:
        # At once: a generator that is being closed should not wait for the other side.
        sink.transport.abort()


async def receive_async(source, endpoint):
    try:
        return await bounded(endpoint, source.read(RECEIVE_BYTES))
    except OSError as error:
        raise endpoint.failure(error) from error


async def bounded(endpoint, awaitable):
    if endpoint.timeout_s is None:
        return await awaitable
    try:
        return await asyncio.wait_for(awaitable, endpoint.timeout_s)
    except asyncio.TimeoutError:
        raise endpoint.overdue() from None
