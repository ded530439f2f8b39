# SPDX-License-Identifier: MIT
"""What a worker has around it: its interpreter, its modules, its variables."""

import importlib
import os
import sys

from pipeline import Pipeline, Variable, pipe


@pipe
def look(name: str) -> dict:
    """The interpreter's prefix, and what the module `marker` says that only some interpreters have."""
    try:
        marker = importlib.import_module("marker").TEXT
    except ImportError:
        marker = None
    return {"prefix": sys.prefix, "marker": marker, "index": os.environ["MILLRACE_WORKER_INDEX"],
            "value": os.environ.get(name), "names": sorted(os.environ)}


with Pipeline() as builder:
    wanted = Variable(str)
    builder.output(look(wanted))
graph = builder.get_pipeline()
