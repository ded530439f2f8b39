# SPDX-License-Identifier: MIT
"""results - what the server says of a run: each line of a stream, and the answer to anything else.

They are the schemas of the original package, made without its checks: one is made for each line, and what a server says
is taken as it is said.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from pipeline.cloud.errors import RunFailed
from pipeline.cloud.schemas.runs import (
    ClusterRunResult,
    ContainerRunError,
    ContainerRunErrorType,
    RunInput,
    RunIOType,
    RunOutput,
    RunOutputFile,
    RunState,
)

if TYPE_CHECKING:
    # A JSON object.
    Said = dict[str, Any]

FINAL_STATES = ("completed", "failed", "no_resources_available")
STATES = {state.value: state for state in RunState}
TYPES = {word.value: word for word in RunIOType}
FROM_TIMESTAMP = datetime.datetime.fromtimestamp
UTC = datetime.timezone.utc
KINDS = {kind.value: kind for kind in ContainerRunErrorType}


class RunError(ContainerRunError):
    """Why a run failed: one of the nine types of the API, what happened, and where if it was in Python. A type of a
    later server's is the word that it said."""

    def __init__(self, said: Said) -> None:
        word = said.get("type")
        self.type = KINDS.get(str(word), word)  # type: ignore[arg-type]  # every server says it
        self.message = said.get("message")  # type: ignore[assignment]  # and this
        self.traceback = said.get("traceback")


class RunResult(ClusterRunResult):
    """A run as it is now. `raw` is all that was said, `lines` how many there were, where that was said."""

    if TYPE_CHECKING:
        raw: Said
        lines: int | None
        error: RunError | None

    def __init__(self, said: Said) -> None:
        self.raw = said
        self.id = said.get("id")  # type: ignore[assignment]  # every server says it, and these
        self.pipeline_id = said.get("pipeline_id")  # type: ignore[assignment]
        self.created_at = moment(said.get("created_at"))
        self.updated_at = moment(said.get("updated_at"))
        self.state = STATES.get(said.get("state", ""), RunState.unknown)
        self.queue_position = said.get("queue_position")
        self.lines = said.get("lines")
        inputs, outputs, error = said.get("inputs"), said.get("outputs"), said.get("error")
        self.inputs = None if inputs is None else [RunInput.parse_obj(one) for one in inputs]
        self.outputs = None if outputs is None else [output_of(output) for output in outputs]
        self.error = None if error is None else RunError(error)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL_STATES

    def outputs_formatted(self) -> list[Any]:
        """The values of the outputs, in order; none while there are none yet. RunFailed if the run
        failed."""
        if self.error is not None:
            raise RunFailed(self)
        return super().outputs_formatted()

    def __repr__(self) -> str:
        what = f"error={self.error!r}" if self.error else f"outputs={self.outputs!r}"
        return f"RunResult(id={self.id!r}, state={str(self.state)!r}, {what})"


def output_of(said: Said) -> RunOutput:
    output = RunOutput.__new__(RunOutput)
    word, file = said.get("type"), said.get("file")
    output.type = TYPES.get(str(word), word)  # type: ignore[arg-type]
    output.value = said.get("value")
    output.file = None if file is None else RunOutputFile.parse_obj(file)
    return output


def moment(said: Any) -> Any:
    """In UTC; what has no such meaning stays as it was said."""
    try:
        return FROM_TIMESTAMP(said, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return said
