# SPDX-License-Identifier: MIT
"""_engine - what engines see: the handles of their runs, and the answer "not now".

A graph whose `engine` has admit(), step() and evict() is one. All of these are called from the thread that serves
(_engine_host.py); what each means is in include/millrace/pipeline_engine.h.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from millrace_worker import _failure

try:
    from millrace_worker import _ring
except ImportError:  # imported outside a worker, by a pipeline under test
    _ring = None  # type: ignore[assignment]

FUNCTIONS = ("admit", "step", "evict")


class Later(str, enum.Enum):
    """What admit() and step() return; a text, so that that of an authoring package is as good."""

    LATER = "later"

    __repr__ = __str__ = lambda self: "LATER"


# Of admit(): there is no room now. Of step(): there is nothing to do now.
LATER: Final = Later.LATER


class Run:
    """A run that an engine has, from admit() until finish(), fail() or evict(). Its functions are for the engine's,
    called from there; RuntimeError anywhere else, and once the run is over."""

    __slots__ = ("_key", "id", "inputs", "state", "__weakref__")

    def __init__(self, key: int, run_id: str, inputs: tuple[Any, ...]) -> None:
        self._key = key
        self.id: Final = run_id
        self.inputs: Final = inputs
        self.state: Any = None  # the engine's own

    def emit(self, value: object) -> bool:
        """The next value of the run. False: it was not taken, as the run is full. One that cannot be sent as JSON
        fails the run, which is evicted."""
        return _ring.run_emit(self._key, value)

    @property
    def is_full(self) -> bool:
        """Whether emit() would take nothing: the client has not read what was sent. Skip the run; step() is called
        when it is open again."""
        return _ring.run_is_full(self._key)

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is to be evicted: long steps ask, and stop. To ask is a sign of life of all runs."""
        return _ring.run_is_cancelled(self._key)

    def finish(self) -> None:
        """Ends the run; all that was emitted reaches its client."""
        _ring.run_end(self._key, None)

    def fail(self, why: BaseException | str, error_type: str | None = None) -> None:
        """Ends the run alone with an exception, as if it had been raised, or with a text. `error_type` is one of the
        nine words; by default that of the exception, "pipeline_error" for a text."""
        if error_type is not None and error_type not in _failure.WORDS:
            raise ValueError(f"fail: {error_type!r} is none of {', '.join(_failure.WORDS)}")
        if isinstance(why, BaseException):
            kind, message, traceback = _failure.describe(why)
        else:
            kind, message, traceback = _failure.PIPELINE, _failure.encode(why), None
        if error_type is not None:
            kind = _failure.WORDS.index(error_type)
        _ring.run_end(self._key, (kind, message, traceback))

    def __repr__(self) -> str:
        return f"<Run {self.id}>"


def wake() -> None:
    """Has step() of the engine called, and admit(), where they had answered with LATER. From any thread; where no
    engine is served it does nothing."""
    if _ring is not None:
        _ring.wake()


def step_budget(otherwise: int) -> int:
    """How much work a step may take up, in units of the engine's own, such as tokens: what its operator says by
    --step-budget, which may be another one with each step; `otherwise` where nothing is said."""
    return (_ring.step_budget() if _ring is not None else 0) or otherwise


def engine_of(graph: Any) -> Any:
    """The engine that a pipeline is; None: it has none."""
    engine = getattr(graph, "engine", None)
    has_all = engine is not None and all(callable(getattr(engine, name, None)) for name in FUNCTIONS)
    return engine if has_all else None
