# SPDX-License-Identifier: MIT
"""wrappers - pipelines made of other things than Python: none are."""

from __future__ import annotations

from typing import NoReturn


def onnx_to_pipeline(path: str, name: str = "onnx_model") -> NoReturn:
    """NotImplementedError: an entity whose startup pipe makes the session does the same, in your hands."""
    raise NotImplementedError(f"no pipeline can be made of {path} alone: load it in a pipe of an @entity with "
                              "@pipe(on_startup=True), and call it in another")
