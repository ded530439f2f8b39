# SPDX-License-Identifier: MIT
"""exceptions - what goes wrong with a graph and with the inputs of a run."""

from __future__ import annotations

class GraphError(TypeError):
    """A pipeline is put together in a way that cannot work; said while it is built."""


class InputError(ValueError):
    """The inputs of a run are wrong: the caller's mistake, not the pipeline's. `error_type` is what a
    client is told of it; a pipe may raise this, too."""

    error_type = "input_error"

    def __repr__(self) -> str:
        # What repr() says is the message that clients read.
        return str(self)
