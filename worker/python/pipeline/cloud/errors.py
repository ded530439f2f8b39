# SPDX-License-Identifier: MIT
"""errors - what can keep a call from its results.

A run that fails is no exception: its result has an `error`. These are about everything else; that there
is nobody at the address is an OSError, and no sign of life within `timeout_s` a TimeoutError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.cloud.results import RunResult


class CloudError(Exception):
    """Any of these."""


class ApiError(CloudError):
    """The server refused the request, or something that is no millrace answered. `status` is that of
    HTTP, `text` for people, `detail` what the server said in JSON, if it did."""

    def __init__(self, status: int, text: str, detail: Any = None) -> None:
        super().__init__(f"the server answered with status {status}: {text}")
        self.status = status
        self.text = text
        self.detail = detail


class NoResourcesAvailable(CloudError):
    """Nothing can run this now: the queue is full, the pipeline is loading, the server stops.
    `retry_after_s` is the server's advice in seconds, None when it gave none."""

    def __init__(self, result: RunResult, status: int, retry_after_s: int | None = None) -> None:
        error = result.error
        super().__init__(f"{error.type}: {error.message}" if error else "no resources available")
        self.result = result
        self.run_id = result.id
        self.status = status
        self.retry_after_s = retry_after_s


class ConnectionBroken(CloudError, ConnectionError):
    """The connection ended before the answer did. Results that came before it are good; whether the run
    went on is not known."""


class RunFailed(CloudError):
    """The outputs of a run that has none, because it failed, were asked for."""

    def __init__(self, result: RunResult) -> None:
        error = result.error
        assert error is not None
        super().__init__(f"{error.type}: {error.message}" + (f"\n{error.traceback}" if error.traceback else ""))
        self.result = result
