# SPDX-License-Identifier: MIT
"""pipelines - runs a pipeline: stream_pipeline() gives each line as it comes, run_pipeline() one result.

The functions whose names end in _async are the same for asyncio. Inputs are positional; `pipeline` is a
pointer such as my_user/my_pipeline:v1, or an id. Every call takes `url`, `token`, `timeout_s` (how long
to wait for the next sign of life; None: as long as the connection stands) and `ssl_context`.
"""

from pipeline.cloud.errors import ApiError, ConnectionBroken, NoResourcesAvailable, RunFailed
from pipeline.cloud.exchange import Endpoint, exchange, exchange_async
from pipeline.cloud.inputs import encode_run

__all__ = ["ApiError", "ConnectionBroken", "NoResourcesAvailable", "RunFailed", "run_pipeline",
           "run_pipeline_async", "stream_pipeline", "stream_pipeline_async"]


def stream_pipeline(pipeline, *inputs, wait_for_resources=None, **where):
    """A generator of results, one a line. Leaving the loop early ends the run. A failure of the run is a
    last result with an `error`; a connection that breaks is ConnectionBroken."""
    return exchange(*stream_request(pipeline, inputs, wait_for_resources, where))


def stream_pipeline_async(pipeline, *inputs, wait_for_resources=None, **where):
    """Likewise: async for result in stream_pipeline_async(...)."""
    return exchange_async(*stream_request(pipeline, inputs, wait_for_resources, where))


def run_pipeline(pipeline, *inputs, async_run=False, wait_for_resources=None, **where):
    """The result, once the run has ended. With `async_run` at once: then the result has the run's id for
    pipeline.cloud.runs."""
    return the_one(list(exchange(*run_request(pipeline, inputs, async_run, wait_for_resources, where))))


async def run_pipeline_async(pipeline, *inputs, async_run=False, wait_for_resources=None, **where):
    """Likewise: await run_pipeline_async(...)."""
    results = exchange_async(*run_request(pipeline, inputs, async_run, wait_for_resources, where))
    return the_one([result async for result in results])


def stream_request(pipeline, inputs, wait_for_resources, where):
    endpoint = Endpoint(**where)
    body = encode_run(pipeline, inputs, async_run=False, wait_for_resources=wait_for_resources)
    return endpoint, endpoint.request("POST", "/v4/runs/stream", body)


def run_request(pipeline, inputs, async_run, wait_for_resources, where):
    endpoint = Endpoint(**where)
    body = encode_run(pipeline, inputs, async_run=async_run, wait_for_resources=wait_for_resources)
    return endpoint, endpoint.request("POST", "/v4/runs", body)


def the_one(results):
    if len(results) != 1:
        raise ConnectionBroken(f"one result was to come, {len(results)} came")
    return results[0]
