# SPDX-License-Identifier: MIT
"""_files - files among the inputs of a run, as pipes get them."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from millrace_worker import _variables

# Of this package's `pipeline`, and of the original one.
HOME, EXCEPTIONS = "pipeline.objects.graph", "pipeline.exceptions"


def file_of(path: str) -> Any:
    """A File of the package that the pipeline was written with; of one without, its path."""
    kind = getattr(sys.modules.get(HOME), "File", None)
    return pathlib.Path(path) if kind is None else kind(path=path)


def directories_of(graph: Any) -> dict[int, Any]:
    """The inputs that are folders, by their index, with their class."""
    kinds = [_variables.without_none(getattr(variable, "type_class", None))
             for variable in _variables.variables_of(graph)[0]]
    return {index: kind for index, kind in enumerate(kinds) if "Directory" in _variables.names_of(kind)}


def as_directories(inputs: list[Any], directories: dict[int, Any]) -> list[Any]:
    """The inputs, with a Directory of the .zip that came for one."""
    for index, kind in directories.items():
        path = getattr(inputs[index], "path", None)
        if path is None:
            continue
        if path.suffix != ".zip":
            error = getattr(sys.modules.get(EXCEPTIONS), "RunInputException", ValueError)
            raise error(f"input {index + 1} is a folder, and comes as a .zip, not as {path.name}")
        inputs[index] = kind(path=path)
    return inputs
