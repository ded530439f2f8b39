# SPDX-License-Identifier: MIT
"""results - what the server says of a run: each line of a stream, and the answer to anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cloud.errors import RunFailed

if TYPE_CHECKING:
    # A JSON object.
    Said = dict[str, Any]

FINAL_STATES = ("completed", "failed", "no_resources_available")


class RunOutput:
    """One output: `type` is a word of the API, `value` what it says in JSON."""

    __slots__ = ("type", "value", "file")

    def __init__(self, said: Said) -> None:
        self.type: str = said.get("type")  # type: ignore[assignment]  # every server says it
        self.value: Any = said.get("value")
        self.file: Said | None = said.get("file")

    def __repr__(self) -> str:
        return f"RunOutput(type={self.type!r}, value={self.value!r})"


class RunError:
    """Why a run failed: one of the nine types of the API, what happened, and where if it was in Python."""

    __slots__ = ("type", "message", "traceback")

    def __init__(self, said: Said) -> None:
        self.type: str = said.get("type")  # type: ignore[assignment]  # every server says it
        self.message: str = said.get("message")  # type: ignore[assignment]  # and this
        self.traceback: str | None = said.get("traceback")

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"

    def __repr__(self) -> str:
        return f"RunError(type={self.type!r}, message={self.message!r})"


class RunResult:
    """A run as it is now. `raw` is all that was said. Times are in seconds since 1970."""

    __slots__ = ("id", "created_at", "updated_at", "pipeline_id", "state", "queue_position", "inputs",
                 "outputs", "error", "lines", "raw")

    id: str
    created_at: float
    updated_at: float
    pipeline_id: str
    state: str
    queue_position: int | None
    inputs: Any
    lines: int | None

    def __init__(self, said: Said) -> None:
        self.raw = said
        for name in ("id", "created_at", "updated_at", "pipeline_id", "state", "queue_position", "inputs",
                     "lines"):
            setattr(self, name, said.get(name))
        outputs, error = said.get("outputs"), said.get("error")
        self.outputs = None if outputs is None else [RunOutput(output) for output in outputs]
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
        return [output.value for output in self.outputs or ()]

    def __repr__(self) -> str:
        what = f"error={self.error!r}" if self.error else f"outputs={self.outputs!r}"
        return f"RunResult(id={self.id!r}, state={self.state!r}, {what})"
