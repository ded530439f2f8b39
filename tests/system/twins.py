# SPDX-License-Identifier: MIT
"""twins - calls of the client pipeline.cloud in both their forms, plain and asynchronous."""

import asyncio

import pytest

from pipeline.cloud import pipelines
from pipeline.cloud.pipelines import run_pipeline, stream_pipeline


async def gather(results):
    return [result async for result in results]


def stream_async(*arguments, **options):
    """All results of the asynchronous twin."""
    return asyncio.run(gather(pipelines.stream_pipeline_async(*arguments, **options)))


def stream_sync(*arguments, **options):
    return list(stream_pipeline(*arguments, **options))


def run_async(*arguments, **options):
    return asyncio.run(pipelines.run_pipeline_async(*arguments, **options))


BOTH_STREAMS = pytest.mark.parametrize("stream", [stream_sync, stream_async])
BOTH_RUNS = pytest.mark.parametrize("run", [run_pipeline, run_async])
