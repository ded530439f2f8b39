# SPDX-License-Identifier: MIT
"""logs - what runs and starts have written, on a server that keeps it for clients: millrace writes it to its own log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cloud import http

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where


def get_run_logs(run_id: str, **where: Unpack[Where]) -> list[Any] | None:
    """The lines of a run. APIError with the status 404 from a server that keeps none."""
    return entries(f"/v4/logs/run/{run_id}", where)


def get_pipeline_startup_logs(pipeline_id_or_pointer: str, **where: Unpack[Where]) -> list[Any] | None:
    """Likewise, of a pipeline's start."""
    return entries(f"/v4/logs/pipeline-startup/{pipeline_id_or_pointer}", where)


def tail_run_logs(run_id: str, **where: Unpack[Where]) -> Generator[Any, None, None]:
    """The lines that there are; none are waited for."""
    yield from get_run_logs(run_id, **where) or ()


def entries(path: str, where: Where) -> list[Any] | None:
    said = http.get(path, **where).json()
    return said.get("log_entries") if isinstance(said, dict) else None
