# SPDX-License-Identifier: MIT
"""inputs - Python values as a request carries them. Files go to the server first."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pipeline.cloud.schemas.runs import RunInput
from pipeline.objects.file import is_file_like
from pipeline.objects.schema import advice_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.cloud.exchange import Where

# A bool is an int, there as here: True goes as {"type":"integer","value":true}.
WORDS: tuple[tuple[type, str], ...] = (
    (int, "integer"), (float, "fp"), (str, "string"), (dict, "dictionary"), (list, "array"),
    (type(None), "none"))


class RunBody:
    """The body of a request that runs a pipeline. TypeError or ValueError for what JSON does not have; nothing is sent
    before encode(). `has_files`: that uploads files, and waits."""

    def __init__(self, pipeline: str, inputs: Iterable[Any], **options: Any) -> None:
        if not isinstance(pipeline, str):
            raise TypeError(f"a pipeline is named by text, such as my_user/my_pipeline:v1, not by {pipeline!r}")
        self.has_files = False
        items = [self._item(number, value) for number, value in enumerate(inputs, 1)]
        self._request = {"pipeline": pipeline, "inputs": items, **options}

    def encode(self, where: Where) -> bytes:
        """The bytes. APIError when the server does not take a file, OSError when one cannot be read."""
        return json.dumps(self._request, allow_nan=False, default=lambda file: upload(file, where)).encode("ascii")

    def _item(self, number: int, value: Any) -> Any:
        """An item of `inputs`, files being as they are given; errors name it by its number, from 1."""
        said = value
        value = plain(value)
        if is_file_like(value):
            self.has_files = True
            return value
        word = next((word for kind, word in WORDS if isinstance(value, kind)), None)
        if word is None:
            raise TypeError(f"input {number} is of type {type(said).__name__}, which JSON does not have"
                            f"{advice_of(said) or advice_of_file(said)}")
        try:
            json.dumps(value, allow_nan=False, default=self._see_file)
        except (TypeError, ValueError, RecursionError) as error:
            raise type(error)(f"input {number} cannot be sent as JSON: {error}") from None
        RunInput.encode_nested_urls(value)
        return {"type": word, "value": value, "file_name": None, "file_path": None, "file_url": None}

    def _see_file(self, value: Any) -> None:
        """What is in the place of a file before it is uploaded."""
        if not is_file_like(value):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable"
                            f"{advice_of(value) or advice_of_file(value)}")
        self.has_files = True


def upload(file: Any, where: Where) -> dict[str, Any]:
    """What a request says of a file, which is on the server then."""
    from pipeline.cloud import files  # most runs have none

    return files.run_input_of(file, **where).dict()


def advice_of_file(value: Any) -> str:
    """What to write instead of a value that stands for a file and is none; "" when it does not."""
    if isinstance(value, (bytes, bytearray)):
        return ": io.BytesIO() of it is sent as a file"
    return ": File(path) of it is sent as a file" if isinstance(value, os.PathLike) else ""
