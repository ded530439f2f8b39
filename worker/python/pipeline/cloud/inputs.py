# SPDX-License-Identifier: MIT
"""inputs - Python values as a request carries them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.objects.file import File
from pipeline.objects.schema import advice_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

# A bool is an int, there as here: True goes as {"type":"integer","value":true}.
WORDS: tuple[tuple[type, str], ...] = (
    (int, "integer"), (float, "fp"), (str, "string"), (dict, "dictionary"), (list, "array"),
    (type(None), "none"))


def encode_run(pipeline: str, inputs: Iterable[Any], **options: Any) -> bytes:
    """The body of a request that runs a pipeline. TypeError or ValueError for what JSON does not have."""
    if not isinstance(pipeline, str):
        raise TypeError(f"a pipeline is named by text, such as my_user/my_pipeline:v1, not by {pipeline!r}")
    items = [encode_input(number, value) for number, value in enumerate(inputs, 1)]
    request = {"pipeline": pipeline, "inputs": items, **options}
    return json.dumps(request, allow_nan=False).encode("ascii")


def encode_input(number: int, value: Any) -> dict[str, Any]:
    """An item of `inputs`; errors name it by its number, from 1."""
    said = value
    value = plain(value)
    word = next((word for kind, word in WORDS if isinstance(value, kind)), None)
    if word is None:
        what = "a File, and files cannot be sent" if isinstance(said, File) else \
            f"of type {type(said).__name__}, which JSON does not have{advice_of(said)}"
        raise TypeError(f"input {number} is {what}")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise type(error)(f"input {number} cannot be sent as JSON: {error}") from None
    return {"type": word, "value": value, "file_name": None, "file_path": None, "file_url": None}
