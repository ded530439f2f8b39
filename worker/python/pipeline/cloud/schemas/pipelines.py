# SPDX-License-Identifier: MIT
"""pipelines - pipelines and their variables."""

from __future__ import annotations

import datetime
import enum
import typing
from typing import Any

from pipeline.cloud.compute_requirements import Accelerator
from pipeline.cloud.schemas import BaseModel, pagination
from pipeline.cloud.schemas.cluster import PipelineClusterConfig, PipelineClusterGetLean
from pipeline.cloud.schemas.runs import RunIOType

Extras = typing.Dict[str, Any]


class IOVariable(BaseModel):
    """An input, an output, a field. `dict_schema` has the fields of one that is an InputSchema."""

    run_io_type: RunIOType
    title: typing.Optional[str]
    description: typing.Optional[str]
    examples: Any
    gt: typing.Optional[float]
    ge: typing.Optional[float]
    lt: typing.Optional[float]
    le: typing.Optional[float]
    multiple_of: typing.Optional[float]
    allow_inf_nan: typing.Optional[bool]
    max_digits: typing.Optional[int]
    decimal_places: typing.Optional[int]
    min_length: typing.Optional[int]
    max_length: typing.Optional[int]
    choices: typing.Optional[typing.List[Any]]
    dict_schema: typing.Optional[typing.List[typing.Dict[str, Any]]]
    default: Any
    optional: typing.Optional[bool]


class PipelineStartUpload(BaseModel):
    """Asks where an image goes."""

    pipeline_name: str
    pipeline_tag: typing.Optional[str]
    cluster: typing.Optional[PipelineClusterConfig] = None
    turbo_registry: bool = False
    accelerators: typing.List[Accelerator] = []


class PipelineStartUploadResponse(BaseModel):
    """Where it goes."""

    bearer: str
    upload_registry: typing.Optional[str]
    pipeline_name: str


class Pipeline(BaseModel):
    """What a pipeline is."""

    name: str
    image: str
    input_variables: typing.List[IOVariable]
    output_variables: typing.List[IOVariable]
    extras: typing.Optional[Extras]


class PipelineCreate(Pipeline):
    """One to make."""

    accelerators: typing.Optional[typing.List[Accelerator]]
    cluster: typing.Optional[PipelineClusterConfig] = None
    scaling_config: typing.Optional[str] = None
    description: typing.Optional[str]
    readme: typing.Optional[str]


class PipelinePatch(BaseModel):
    """What changes one."""

    input_variables: typing.Optional[typing.List[IOVariable]]
    output_variables: typing.Optional[typing.List[IOVariable]]
    accelerators: typing.Optional[typing.List[Accelerator]]
    extras: typing.Optional[Extras]
    scaling_config: typing.Optional[str] = None


class PipelineListPagination(pagination.Pagination):
    """Which part of all pipelines, in which order."""

    class OrderBy(str, enum.Enum):
        """By what."""

        created_at = "created_at"
        updated_at = "updated_at"
        pipeline_name = "pipeline_name"
        image = "image"

    order_by: PipelineListPagination.OrderBy
    order: pagination.Order


class PipelineDeploymentStatus(str, enum.Enum):
    """Whether it is where it is to run."""

    not_deployed = "not_deployed"
    deploying = "deploying"
    deployed = "deployed"
    failed = "failed"
    deleting = "deleting"
    deleted = "deleted"


class PipelineState(str, enum.Enum):
    """Whether it can run."""

    not_loaded = "not_loaded"
    loading = "loading"
    loaded = "loaded"
    load_failed = "load_failed"
    startup_failed = "startup_failed"
    container_failed = "container_failed"
    failed = "failed"


class PipelineContainerState(BaseModel):
    """Of one process."""

    state: PipelineState
    message: typing.Optional[str]
    current_run: typing.Optional[str]


class PipelineScalingInfo(BaseModel):
    """Of all its processes."""

    current_replicas: int
    desired_replicas: int
    current_pipeline_states: typing.Dict[PipelineState, int]


class PipelineGet(Pipeline):
    """One that there is."""

    id: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    accelerators: typing.Optional[typing.List[Accelerator]]
    cluster: typing.Optional[PipelineClusterGetLean] = None
    scaling_config: typing.Optional[str] = None
    failed_state_info: typing.Optional[PipelineContainerState]
