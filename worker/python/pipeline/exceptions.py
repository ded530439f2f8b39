# SPDX-License-Identifier: MIT
"""exceptions - what goes wrong with a graph and with the inputs of a run."""

from __future__ import annotations


class GraphError(TypeError):
    """A pipeline is put together in a way that cannot work; said while it is built."""


class RunInputException(Exception):
    """The inputs of a run are wrong: the caller's mistake, not the pipeline's. A pipe may raise it; `message`
    is what a client is told, `error_type` as what."""

    error_type = "input_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __repr__(self) -> str:
        # What repr() says is the message that clients read.
        return str(self)


class InputError(RunInputException, ValueError):
    """The same; what the package itself raises."""


class RunnableError(Exception):
    """A pipeline has raised `exception`; `traceback` is the text of where, or None."""

    def __init__(self, exception: BaseException, traceback: str | None = None) -> None:
        super().__init__(exception, traceback)
        self.exception = exception
        self.traceback = traceback

    def __str__(self) -> str:
        return f"RunnableError({self.exception!r})"
