# SPDX-License-Identifier: MIT
"""runs - requests for runs, and what is said of runs."""

from __future__ import annotations

import datetime
import enum
import io
import json
import typing
import urllib.parse
from typing import Any

from pipeline.cloud.schemas import BaseModel, Word
from pipeline.objects.file import File

# What has a meaning in a URL stays; what may not be in one is encoded.
URL_CHARACTERS = "/:?#[]@!$&'()*+,;=~"


class RunState(Word):
    """Where a run is; a word that is none of these is `unknown`."""

    created = "created"
    routing = "routing"
    queued = "queued"
    running = "running"
    completed = "completed"
    failed = "failed"
    no_resources_available = "no_resources_available"
    node_preempted = "node_preempted"
    unknown = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> RunState | None:
        return cls.unknown if isinstance(value, str) else None

    @staticmethod
    def is_terminal(state: RunState | str) -> bool:
        """Whether nothing more will happen to the run."""
        return state in RunState.terminal_states()

    @classmethod
    def terminal_states(cls) -> list[RunState]:
        """The last ones."""
        return [cls.completed, cls.failed, cls.no_resources_available, cls.node_preempted]


class RunErrorType(enum.Enum):
    """Of an earlier API."""

    input_error = 1
    unroutable = 2
    graph_error = 3
    runtime_error = 4


class RunError(BaseModel):
    """Of an earlier API."""

    exception: str
    traceback: typing.Optional[str]


class RunFileType(enum.Enum):
    """Which way a file goes."""

    input = "input"
    output = "output"


class RunFile(BaseModel):
    """A file of a run."""

    id: str
    run_id: str
    io_type: RunFileType
    path: str


class RunIOType(Word):
    """The words for types."""

    integer = "integer"
    string = "string"
    fp = "fp"
    dictionary = "dictionary"
    boolean = "boolean"
    none = "none"
    array = "array"
    pkl = "pkl"
    file = "file"
    stream = "stream"

    @classmethod
    def from_object(cls, obj: Any) -> RunIOType:
        """The word for a value, or for a type; `pkl` when there is none. True is an integer, as in Python."""
        if obj is bool:
            return cls.boolean
        for kind, word in ((int, cls.integer), (float, cls.fp), (str, cls.string)):
            if isinstance(obj, kind) or obj is kind:
                return word
        if obj is None:
            return cls.none
        for container, word in ((dict, cls.dictionary), (list, cls.array)):
            if isinstance(obj, container) or obj is container:
                return word if obj is container or is_json(obj) else cls.pkl
        if hasattr(obj, "iterable") or getattr(obj, "__name__", None) == "Stream":
            return cls.stream
        if isinstance(obj, (io.IOBase, File)) or (isinstance(obj, type) and issubclass(obj, File)):
            return cls.file
        return cls.pkl

    @staticmethod
    def to_object(io_type: RunIOType | str) -> Any:
        """The type for a word. ValueError for one that has none."""
        kinds: dict[RunIOType, Any] = {
            RunIOType.integer: int, RunIOType.fp: float, RunIOType.string: str, RunIOType.boolean: bool,
            RunIOType.none: None, RunIOType.dictionary: dict, RunIOType.array: list, RunIOType.file: File}
        word = RunIOType(io_type)
        if word not in kinds:
            raise ValueError(f"Invalid io_type: {word.value}")
        return kinds[word]


def is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


class RunInput(BaseModel):
    """One input. The URLs of files, those in `value` too, are percent-encoded once."""

    type: RunIOType
    value: Any
    file_name: typing.Optional[str]
    file_path: typing.Optional[str]
    file_url: typing.Optional[str]

    @classmethod
    def before(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("file_url") is not None:
            values["file_url"] = cls.encode_url(values["file_url"])
        if "value" in values:
            values["value"] = cls.encode_nested_urls(values["value"])
        return values

    @classmethod
    def encode_url(cls, url: str) -> str:
        """The URL with what may not be in one encoded; one that has something encoded stays as it is."""
        return url if url != urllib.parse.unquote(url) else urllib.parse.quote(url, safe=URL_CHARACTERS)

    @classmethod
    def encode_nested_urls(cls, value: Any) -> Any:
        """Likewise each `file_url` in dictionaries and lists, in place."""
        if isinstance(value, dict):
            for key, one in value.items():
                if key == "file_url" and isinstance(one, str):
                    value[key] = cls.encode_url(one)
                else:
                    cls.encode_nested_urls(one)
        elif isinstance(value, list):
            for one in value:
                cls.encode_nested_urls(one)
        return value


class RunOutputFile(BaseModel):
    """Where a file that came out is."""

    name: str
    path: str
    url: typing.Optional[str]
    size: int


class RunOutput(BaseModel):
    """One output: `type` is a word of the API, `value` what it says in JSON."""

    type: RunIOType
    value: Any
    file: typing.Optional[RunOutputFile]

    def formatted(self) -> Any:
        """The value; of a file, a File with its URL, also inside of lists and dictionaries. ValueError when that is
        missing."""
        if self.type != RunIOType.file:
            return with_files(self.value) if isinstance(self.value, (list, dict)) else self.value
        if self.file is None or self.file.url is None:
            raise ValueError("Returned file missing information.")
        return File._at(self.file.url, self.file.name)


def with_files(value: Any) -> Any:
    """The value with a File in the place of each output that is a file."""
    if isinstance(value, list):
        return [with_files(one) if isinstance(one, (list, dict)) else one for one in value]
    file = value.get("file")
    if value.get("type") == "file" and isinstance(file, dict) and isinstance(file.get("url"), str):
        return File._at(file["url"], str(file.get("name") or ""))
    return {key: with_files(one) if isinstance(one, (list, dict)) else one for key, one in value.items()}


class RunResult(BaseModel):
    """Of an earlier API."""

    run_id: str
    outputs: typing.List[RunOutput]

    def result_array(self) -> list[Any]:
        """The values of the outputs, in order."""
        return [output.formatted() for output in self.outputs]


class ContainerRunErrorType(Word):
    """The nine kinds of failure."""

    input_error = "input_error"
    cuda_oom = "cuda_oom"
    cuda_error = "cuda_error"
    oom = "oom"
    pipeline_error = "pipeline_error"
    startup_error = "startup_error"
    pipeline_loading = "pipeline_loading"
    timeout = "timeout"
    unknown = "unknown"


class ContainerRunError(BaseModel):
    """Why a run failed: what happened, and where if it was in Python."""

    type: ContainerRunErrorType
    message: str
    traceback: typing.Optional[str]

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class ContainerRunCreate(BaseModel):
    """A request to a container."""

    run_id: typing.Optional[str]
    inputs: typing.List[RunInput]
    async_run: bool = False
    callback_url: typing.Optional[str]


class ContainerRunResult(BaseModel):
    """The answer of a container, and the body that is sent to a callback."""

    inputs: typing.Optional[typing.List[RunInput]]
    outputs: typing.Optional[typing.List[RunOutput]]
    error: typing.Optional[ContainerRunError]

    def outputs_formatted(self) -> list[Any]:
        """The values of the outputs, in order; none while there are none."""
        return [output.formatted() for output in self.outputs or ()]


class ClusterRunResult(ContainerRunResult):
    """A run as it is now."""

    id: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    pipeline_id: str
    state: RunState
    # From 0, while the run is queued.
    queue_position: typing.Optional[int] = None


# Where programs of the original package look for it.
Run = ClusterRunResult


class RunStateTransition(BaseModel):
    """When a run came into a state."""

    run_id: str
    new_state: RunState
    time: datetime.datetime


class RunStateTransitions(BaseModel):
    """All of a run."""

    data: typing.List[RunStateTransition]


class RunCreate(BaseModel):
    """A request for a run. `pipeline` is an id or a pointer; `run_id` is not looked at."""

    pipeline: str
    inputs: typing.List[RunInput]
    async_run: bool = False
    wait_for_resources: typing.Optional[bool] = None
    run_id: typing.Optional[str] = None
