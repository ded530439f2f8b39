# SPDX-License-Identifier: MIT
"""files - pipelines that say what they find in files of their inputs."""

import os
import time
import zipfile
from typing import Optional

from pipeline import Directory, File, Pipeline, Variable, pipe
from pipeline.objects.graph import InputField, InputSchema, Stream


class Options(InputSchema):
    mask: Optional[File] = InputField(default=None)
    count: int = InputField(default=1)


@pipe
def look(file: File, options: Options) -> dict:
    mask = options.mask
    return {"name": file.path.name, "text": file.path.read_text(), "folder": str(file.path.parent.parent),
            "count": options.count, "mask": mask and [mask.path.name, mask.path.read_text()]}


@pipe
def words(file: File, pause_s: float) -> Stream[str]:
    def read():
        for word in file.path.read_text().split():
            time.sleep(pause_s)
            yield word
    return Stream(read())


@pipe
def attempt(file: File, what: str) -> str:
    """What comes of code that knows the path, and nothing else of this run."""
    try:
        return repr(eval(what, {"os": os, "path": str(file.path), "folder": str(file.path.parent.parent),
                                "root": str(file.path.parents[3])}))
    except OSError as error:
        return type(error).__name__


@pipe
def unpack(folder: Directory) -> list:
    with zipfile.ZipFile(folder.path) as archive:
        return sorted(archive.namelist())


def graph(function, *kinds):
    with Pipeline() as builder:
        builder.output(function(*[Variable(kind) for kind in kinds]))
    return builder.get_pipeline()


looks = graph(look, File, Options)
streams = graph(words, File, float)
attempts = graph(attempt, File, str)
unpacks = graph(unpack, Directory)
