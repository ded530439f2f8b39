# SPDX-License-Identifier: MIT
"""streaming - JSON out of answers that come in pieces, as httpx and pipeline.cloud.http give them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


class Lines:
    """Text in pieces becomes what each of its lines says in JSON. What is not JSON when its line ends is
    json.JSONDecodeError."""

    def __init__(self) -> None:
        self._rest: list[str] = []

    def feed(self, text: str) -> Generator[Any, None, None]:
        """What the lines that end in it say."""
        *lines, rest = text.split("\n")
        if lines:
            lines[0] = "".join([*self._rest, lines[0]])
            self._rest.clear()
        self._rest.append(rest)
        yield from (json.loads(line) for line in lines if line.strip())

    def end(self) -> Generator[Any, None, None]:
        """What a last line without an end says."""
        yield from self.feed("\n")


def handle_stream_response(response: Any) -> Generator[Any, None, None]:
    """What each line of the answer says, as soon as it is there. Blank lines say nothing."""
    lines = Lines()
    for text in response.iter_text():
        yield from lines.feed(text)
    yield from lines.end()


async def handle_async_stream_response(response: Any) -> AsyncGenerator[Any, None]:
    """Likewise, of an answer that is read asynchronously."""
    lines = Lines()
    async for text in response.aiter_text():
        for said in lines.feed(text):
            yield said
    for said in lines.end():
        yield said
