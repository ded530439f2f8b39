# SPDX-License-Identifier: MIT
"""_source - finds the pipeline that was named: FILE.py:NAME or PACKAGE.MODULE:NAME, that in a folder if there is one."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

from millrace_worker import _engine

if TYPE_CHECKING:
    from types import ModuleType


class SourceError(Exception):
    """The source has no such pipeline."""

    def __repr__(self) -> str:
        return str(self)


def load(source: str, name: str | None, folder: str | None = None) -> tuple[str, Any]:
    """Imports the source. Returns the pipeline's name and graph. SourceError when there is no such, or
    what the import raises."""
    if folder is not None:
        module = import_from(os.path.abspath(folder), source)
    elif source.endswith(".py"):
        module = import_file(source)
    else:
        module = importlib.import_module(source)
    if name is None:
        name = only_name(module, source)
    if not hasattr(module, name):
        raise SourceError(f"{source}: no pipeline {name}{found_instead(module)}")
    graph = getattr(module, name)
    if not is_graph(graph):
        raise SourceError(f"{source}: {name} is {describe(graph)}, not a pipeline: that is what "
                          "builder.get_pipeline() returns")
    return name, graph


def import_file(path: str) -> ModuleType:
    """As python runs a file: its folder is where it finds its neighbours. In sys.modules under its own
    name, so that classes of it can be pickled."""
    folder, file = os.path.split(os.path.abspath(path))
    sys.path.insert(0, folder)
    name = file[:-len(".py")]
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, file))
    assert spec is not None and spec.loader is not None  # as the name ends with .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def import_from(folder: str, name: str) -> ModuleType:
    """The module of that folder, where it finds its neighbours, and no other that has its name."""
    sys.path.insert(0, folder)
    module = importlib.import_module(name)
    file = getattr(module, "__file__", None)
    if file is None or not os.path.abspath(file).startswith(os.path.join(folder, "")):
        raise SourceError(f"{name} is a module of Python, so the one in {folder} needs another name")
    return module


def is_graph(value: object) -> bool:
    return ((callable(getattr(value, "run", None)) or _engine.engine_of(value) is not None)
            and not isinstance(value, type)
            and (hasattr(value, "input_variables") or hasattr(value, "variables")))


def names_of(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if is_graph(value)]


def only_name(module: ModuleType, source: str) -> str:
    names = names_of(module)
    if len(names) == 1:
        return names[0]
    if not names:
        raise SourceError(f"{source}: it has no pipeline: that is what builder.get_pipeline() returns")
    raise SourceError(f"{source}: it has several pipelines, say which: {', '.join(names)}")


def found_instead(module: ModuleType) -> str:
    names = names_of(module)
    return f": it has {', '.join(names)}" if names else ", nor any other"


def describe(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
