# SPDX-License-Identifier: MIT
"""pointers - names of pipelines that can be moved, on a server that has such: millrace's are in its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cloud import http
from pipeline.cloud.schemas.pointers import PointerCreate, PointerPatch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where


def create_pointer(pointer: str, target_pipeline_id_or_pointer: str, overwrite: bool = False, locked: bool = False,
                   **where: Unpack[Where]) -> None:
    """Makes a pointer, or moves one that is there when `overwrite` says so. HTTPStatusError or APIError when the server
    does not."""
    target = target_pipeline_id_or_pointer
    made = http.post("/v3/pointers", PointerCreate(
        pointer=pointer, pointer_or_pipeline_id=target, locked=locked).dict(), handle_error=False, **where)
    if made.status_code == 409 and overwrite:
        http.patch(f"/v3/pointers/{pointer}", PointerPatch(pointer_or_pipeline_id=target, locked=locked).dict(), **where)
    else:
        made.raise_for_status()
