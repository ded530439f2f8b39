# SPDX-License-Identifier: MIT
"""_files - files among the inputs of a run, as pipes get them."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

# Of this package's `pipeline`, and of the original one.
HOME = "pipeline.objects.graph"


def file_of(path: str) -> Any:
    """A File of the package that the pipeline was written with; of one without, its path."""
    kind = getattr(sys.modules.get(HOME), "File", None)
    return pathlib.Path(path) if kind is None else kind(path=path)
