# SPDX-License-Identifier: MIT
"""pipelines - run_pipeline() and stream_pipeline() for asyncio, as the original package has them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pipeline.cloud import http
from pipeline.cloud.errors import RunFailed
from pipeline.cloud.inputs import RunBody
from pipeline.cloud.pipelines import run_pipeline_async
from pipeline.cloud.pipelines import stream_pipeline_async as stream_pipeline

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where
    from pipeline.cloud.http import Response
    from pipeline.cloud.results import RunResult

__all__ = ["run_pipeline", "stream_pipeline"]


async def run_pipeline(pipeline: str, *data: Any, async_run: bool = False, return_response: bool = False,
                       wait_for_resources: bool | None = None, **where: Unpack[Where]) -> RunResult | Response:
    """The result, once the run has ended; RunFailed when it failed. With `return_response` the answer, whatever it
    is."""
    if return_response:
        body = RunBody(pipeline, data, async_run=async_run, wait_for_resources=wait_for_resources)
        encoded = await asyncio.to_thread(body.encode, where) if body.has_files else body.encode(where)
        return await http.async_post("/v4/runs", json.loads(encoded), handle_error=False, **where)
    result = await run_pipeline_async(pipeline, *data, async_run=async_run, wait_for_resources=wait_for_resources, **where)
    if result.error is not None:
        raise RunFailed(result)
    return result
