# SPDX-License-Identifier: MIT
"""pipelines - runs a pipeline: stream_pipeline() gives each line as it comes, run_pipeline() one result.

The functions whose names end in _async are the same for asyncio. Inputs are positional; `pipeline` is a
pointer such as my_user/my_pipeline:v1, or an id. Every call takes `url`, `token`, `timeout_s` (how many
seconds to wait for the next sign of life; None: as long as the connection stands) and `ssl_context`.

A run that is refused for now is NoResourcesAvailable; a request that the server does not take, such as for a
pipeline that it does not have, APIError; nobody at the address an OSError, silence a TimeoutError. Inputs that
JSON does not have are a TypeError or a ValueError.

A File and an open file are uploaded to the server before the run begins, also in dictionaries, lists and instances of an
InputSchema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cloud.errors import ApiError, APIError, ConnectionBroken, NoResourcesAvailable, RunFailed
from pipeline.cloud.exchange import Endpoint, exchange, exchange_async
from pipeline.cloud.inputs import RunBody

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Request, Where
    from pipeline.cloud.results import RunResult

__all__ = ["APIError", "ApiError", "ConnectionBroken", "NoResourcesAvailable", "RunFailed", "run_pipeline",
           "run_pipeline_async", "stream_pipeline", "stream_pipeline_async"]


def stream_pipeline(pipeline: str, *inputs: Any, wait_for_resources: bool | None = None,
                    **where: Unpack[Where]) -> Generator[RunResult, None, None]:
    """A generator of results, one a line. Leaving the loop early ends the run. A failure of the run is a
    last result with an `error`; a connection that breaks is ConnectionBroken."""
    return exchange(*stream_request(pipeline, inputs, wait_for_resources, where))


def stream_pipeline_async(pipeline: str, *inputs: Any, wait_for_resources: bool | None = None,
                          **where: Unpack[Where]) -> AsyncGenerator[RunResult, None]:
    """Likewise: async for result in stream_pipeline_async(...)."""
    return exchange_async(*stream_request(pipeline, inputs, wait_for_resources, where))


def run_pipeline(pipeline: str, *inputs: Any, async_run: bool = False, wait_for_resources: bool | None = None,
                 callback_url: str | None = None, **where: Unpack[Where]) -> RunResult:
    """The result, once the run has ended. With `async_run` at once: then the result has the run's id for
    pipeline.cloud.runs, and is posted to `callback_url` where one is said."""
    return the_one(list(exchange(*run_request(pipeline, inputs, async_run, wait_for_resources, callback_url, where))))


async def run_pipeline_async(pipeline: str, *inputs: Any, async_run: bool = False, wait_for_resources: bool | None = None,
                             callback_url: str | None = None, **where: Unpack[Where]) -> RunResult:
    """Likewise: await run_pipeline_async(...)."""
    results = exchange_async(*run_request(pipeline, inputs, async_run, wait_for_resources, callback_url, where))
    return the_one([result async for result in results])


def stream_request(pipeline: str, inputs: Sequence[Any], wait_for_resources: bool | None,
                   where: Where) -> tuple[Endpoint, Request]:
    """What exchange() takes."""
    body = RunBody(pipeline, inputs, async_run=False, wait_for_resources=wait_for_resources)
    return request("/v4/runs/stream", body, where)


def run_request(pipeline: str, inputs: Sequence[Any], async_run: bool, wait_for_resources: bool | None,
                callback_url: str | None, where: Where) -> tuple[Endpoint, Request]:
    """What exchange() takes."""
    # The original has no such argument, and says nothing of it.
    more = {} if callback_url is None else {"callback_url": callback_url}
    body = RunBody(pipeline, inputs, async_run=async_run, wait_for_resources=wait_for_resources, **more)
    return request("/v4/runs", body, where)


def request(path: str, body: RunBody, where: Where) -> tuple[Endpoint, Request]:
    """Files are uploaded when the request is to be sent, which is said at once where there are none."""
    endpoint = Endpoint(**where)
    if body.has_files:
        endpoint.head("POST", path)
        return endpoint, lambda: endpoint.request("POST", path, body.encode(where))
    return endpoint, endpoint.request("POST", path, body.encode(where))


def the_one(results: list[RunResult]) -> RunResult:
    """The only result; ConnectionBroken when there is none, or more than one."""
    if len(results) != 1:
        raise ConnectionBroken(f"one result was to come, {len(results)} came")
    return results[0]
