# SPDX-License-Identifier: MIT
"""cluster - where a pipeline runs, to a service that has clusters."""

from __future__ import annotations

import typing

from pipeline.cloud.schemas import BaseModel


class PipelineClusterConfig(BaseModel):
    """Where it is to run."""

    id: str
    node_pool: str


class PipelineClusterGetLean(PipelineClusterConfig):
    """Where it runs."""

    name: typing.Optional[str] = None
    provider: typing.Optional[str] = None
