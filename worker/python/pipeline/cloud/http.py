# SPDX-License-Identifier: MIT
"""http - requests to the server, and its answers as they are: what the other modules do not have words for.

    http.get("/v4/pipelines").json()
    with http.stream("POST", "/v4/runs/stream", json_data={...}) as response:
        for line in response.iter_lines(): ...

Answers have what those of httpx have, as far as programs of the original package ask for it. An answer that is none of
success is an APIError, unless `handle_error` is False. Redirects are not followed. Where requests go, as whom, and what
can go wrong on the way is said in pipeline.cloud.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from pipeline.cloud.answers import Answer
from pipeline.cloud.errors import APIError, HTTPStatusError
from pipeline.cloud.exchange import Endpoint, bounded, connect, open_async, receive, receive_async, send
from pipeline.cloud.multipart import Body, form
from pipeline.util.logging import PIPELINE_STR, _print
from pipeline.util.progress import progress_bar

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where

__all__ = ["APIError", "HTTPStatusError", "Response", "async_post", "delete", "get", "patch", "post", "post_file",
           "post_files", "put_url", "raise_if_http_status_error", "request", "stream"]

# Of silence.
TIMEOUT_S = 300.0


class Response:
    """An answer; `content` is its body, which is read when it is first asked for. Names of headers are in lower case."""

    def __init__(self, url: str, answer: Answer, content: bytes, source: socket.socket | None = None,
                 endpoint: Endpoint | None = None) -> None:
        self.url = url
        self._answer = answer
        self._read = content
        self._source = source
        self._endpoint = endpoint

    @property
    def status_code(self) -> int:
        """That of HTTP."""
        return self._answer.status

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the head."""
        return self._answer.headers

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status_code < 300

    @property
    def content(self) -> bytes:
        """All of the body, decoded by its framing."""
        self._read = b"".join(self.iter_bytes())
        return self._read

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def read(self) -> bytes:
        """The same as `content`."""
        return self.content

    def json(self) -> Any:
        """What the body says. ValueError when it is no JSON."""
        return json.loads(self.content)

    def raise_for_status(self) -> Response:
        """HTTPStatusError unless the server did what it was asked."""
        if not self.is_success:
            raise HTTPStatusError(self)
        return self

    def iter_bytes(self) -> Iterator[bytes]:
        """The body in pieces, as they come: once, unless all of it is there. ConnectionBroken when it ends before it is
        whole."""
        read = self._read
        if not self._answer.is_whole:
            self._read = b""
        if read:
            yield read
        while self._source is not None and self._endpoint is not None and not self._answer.is_whole:
            data = receive(self._source, self._endpoint)
            piece = self._answer.feed(data)
            if not data:
                self._answer.end()
            if piece:
                yield piece

    def iter_text(self) -> Iterator[str]:
        """Likewise, as text: no character is cut."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for piece in self.iter_bytes():
            yield decoder.decode(piece)
        rest = decoder.decode(b"", final=True)
        if rest:
            yield rest

    def iter_lines(self) -> Iterator[str]:
        """Likewise, line by line, without their ends."""
        rest = ""
        for text in self.iter_text():
            *lines, rest = (rest + text).split("\n")
            yield from (line[:-1] if line.endswith("\r") else line for line in lines)
        if rest:
            yield rest

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


def raise_if_http_status_error(response: Response) -> None:
    """APIError, told at the terminal too, unless the server did what it was asked."""
    if not response.is_success:
        error = APIError.from_response(response)
        _print(str(error), level="ERROR")
        raise error


# ---- requests ------------------------------------------------------------------------------------

def get(endpoint: str, handle_error: bool = True, *, params: Mapping[str, Any] | None = None,
        **where: Unpack[Where]) -> Response:
    """Asks for something."""
    return handled(request("GET", with_params(endpoint, params), **where), handle_error)


def delete(endpoint: str, handle_error: bool = True, *, params: Mapping[str, Any] | None = None,
           **where: Unpack[Where]) -> Response:
    """Ends or removes something."""
    return handled(request("DELETE", with_params(endpoint, params), **where), handle_error)


def post(endpoint: str, json_data: Any = None, handle_error: bool = True, **where: Unpack[Where]) -> Response:
    """Makes something, of what JSON has."""
    return handled(request("POST", endpoint, json_body(json_data), **where), handle_error)


def patch(endpoint: str, json_data: Any = None, handle_error: bool = True, **where: Unpack[Where]) -> Response:
    """Changes something."""
    return handled(request("PATCH", endpoint, json_body(json_data), **where), handle_error)


def post_file(endpoint: str, files: Mapping[str, Any], **where: Unpack[Where]) -> Response:
    """Uploads files: each a file or (name, file), by the name of its field."""
    return handled(request("POST", endpoint, form(files, {}), **where), True)


def post_files(endpoint: str, files: Mapping[str, Any], params: Mapping[str, Any] | None = None,
               data: Mapping[str, Any] | None = None, progress: bool = False, **where: Unpack[Where]) -> Response:
    """Likewise, with other fields, and a bar of progress where tqdm is there. No answer is an exception."""
    body = form(files, data or {})
    with progress_of(body, f"{PIPELINE_STR} Uploading") if progress else contextlib.nullcontext():
        return request("POST", with_params(endpoint, params), body, **where)


@contextlib.contextmanager
def stream(method: str, endpoint: str, json_data: Any = None, handle_error: bool = True,
           **where: Unpack[Where]) -> Iterator[Response]:
    """The answer as it comes. Leaving the `with` closes the connection."""
    target, body = endpoint_of(where), json_body(json_data)
    connection = connect(target)
    try:
        transmit(connection, target, method, endpoint, body)
        response = begin(connection, target, endpoint)
        yield handled(response, handle_error)
    finally:
        connection.close()


async def async_post(endpoint: str, json_data: Any = None, handle_error: bool = True,
                     **where: Unpack[Where]) -> Response:
    """As post(), for asyncio."""
    target, body = endpoint_of(where), json_body(json_data)
    answer, pieces = Answer(), []
    source, sink = await open_async(target)
    try:
        sink.write(head_of(target, "POST", endpoint, body) + b"".join(body or ()))
        await bounded(target, sink.drain())
        while not answer.is_whole:
            data = await receive_async(source, target)
            pieces.append(answer.feed(data))
            if not data:
                answer.end()
    finally:
        sink.transport.abort()
    return handled(Response(target.url_of(endpoint), answer, b"".join(pieces)), handle_error)


def put_url(url: str, body: Body, timeout_s: float = TIMEOUT_S) -> Response:
    """Sends something to where a server said, without a token."""
    parts = urllib.parse.urlsplit(url)
    base = urllib.parse.urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return handled(request("PUT", path, body, url=base, token="", timeout_s=timeout_s), True)


# ---- how -----------------------------------------------------------------------------------------

def request(method: str, endpoint: str, body: Body | None = None, **where: Unpack[Where]) -> Response:
    """One request and its whole answer, whatever that is."""
    target = endpoint_of(where)
    connection = connect(target)
    try:
        transmit(connection, target, method, endpoint, body)
        response = begin(connection, target, endpoint)
        response.read()
        return response
    finally:
        connection.close()


def endpoint_of(where: Where) -> Endpoint:
    where.setdefault("timeout_s", TIMEOUT_S)
    return Endpoint(**where)


def handled(response: Response, handle_error: bool) -> Response:
    if handle_error:
        raise_if_http_status_error(response)
    return response


def json_body(said: Any) -> Body | None:
    return None if said is None else Body([json.dumps(said, allow_nan=False).encode("ascii")], "application/json")


def with_params(endpoint: str, params: Mapping[str, Any] | None) -> str:
    if not params:
        return endpoint
    return endpoint + ("&" if "?" in endpoint else "?") + urllib.parse.urlencode(params, doseq=True)


def head_of(target: Endpoint, method: str, path: str, body: Body | None) -> bytes:
    """`path` begins with a slash, or gets one."""
    fields = () if body is None else (f"Content-Type: {body.content_type}", f"Content-Length: {body.length}")
    if body is None and method in ("POST", "PATCH"):
        fields = ("Content-Length: 0", )
    return target.head(method, path if path.startswith("/") else "/" + path, fields)


def transmit(connection: socket.socket, target: Endpoint, method: str, path: str, body: Body | None) -> None:
    """All of a request, or as much of it as the server wants."""
    if send(connection, head_of(target, method, path, body)):
        for piece in body or ():
            if not send(connection, piece):
                break


def begin(connection: socket.socket, target: Endpoint, path: str) -> Response:
    """The answer, when its head has come."""
    answer, content = Answer(), b""
    while not answer.status:
        data = receive(connection, target)
        content += answer.feed(data)
        if not data:
            answer.end()
    return Response(target.url_of(path), answer, content, connection, target)


@contextlib.contextmanager
def progress_of(body: Body, title: str, is_asked_for: bool = True) -> Iterator[None]:
    """Shows how much of the body was sent, as progress_bar() does."""
    with progress_bar(title, body.length, is_asked_for) as body.on_sent:
        yield
