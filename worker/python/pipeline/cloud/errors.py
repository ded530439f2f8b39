# SPDX-License-Identifier: MIT
"""errors - what can keep a call from its results.

A run that fails is no exception: its result has an `error`. These are about everything else; that there
is nobody at the address is an OSError, and no sign of life within `timeout_s` a TimeoutError.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.cloud.http import Response
    from pipeline.cloud.results import RunResult

TEXT_CHARACTERS_MAX = 500


class CloudError(Exception):
    """Any of these."""


class APIError(CloudError):
    """The server refused the request, or something that is no millrace answered. `status_code` is that of HTTP, `text`
    for people, `detail` a dict of what the server said, `request_id` what it calls the request, if it did."""

    def __init__(self, url: str, status_code: int, detail: Any, request_id: str | None = None,
                 text: str | None = None) -> None:
        self.url = url
        self.status_code = status_code
        self.detail = detail
        self.request_id = request_id
        self.text = text_of_detail(detail) if text is None else text
        super().__init__(f"the server answered with status {status_code}: {self.text}")

    @property
    def status(self) -> int:
        """The same as `status_code`."""
        return self.status_code

    @classmethod
    def of_answer(cls, url: str, status_code: int, body: bytes, request_id: str | None) -> APIError:
        """Of its `detail`, else of as much of it as a person wants to read."""
        try:
            detail = json.loads(body)["detail"]
        except (ValueError, TypeError, KeyError):
            text = body.decode("utf-8", "replace").strip()[:TEXT_CHARACTERS_MAX]
            return cls(url, status_code, {"message": "Something went wrong.", "response": text}, request_id, text)
        return cls(url, status_code, detail if isinstance(detail, dict) else {"detail": detail}, request_id)

    @classmethod
    def from_response(cls, response: Response) -> APIError:
        """Of an answer of pipeline.cloud.http."""
        return cls.of_answer(response.url, response.status_code, response.content,
                             response.headers.get("x-correlation-id"))


class HTTPStatusError(CloudError):
    """An answer, `response`, is none of success."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.url} answered with status {response.status_code}")
        self.response = response


class NoResourcesAvailable(CloudError):
    """Nothing can run this now: the queue is full, the pipeline is loading, the server stops. `run_result` is what it
    says of the run, `retry_after_s` its advice in seconds, None when it gave none."""

    def __init__(self, run_result: RunResult, message: str | None = None, *, status: int = 503,
                 retry_after_s: int | None = None) -> None:
        self.message = message or (str(run_result.error) if run_result.error else "no resources available")
        super().__init__(self.message)
        self.run_result = run_result
        self.run_id = run_result.id
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def result(self) -> RunResult:
        """The same as `run_result`."""
        return self.run_result


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


# As it was called before it had the original's name.
ApiError = APIError


def text_of_detail(detail: Any) -> str:
    """"..." or {"message":"..."} or [{"loc":[...],"msg":"..."}], or {"detail": ...} of any of them."""
    if isinstance(detail, dict) and set(detail) == {"detail"}:
        detail = detail["detail"]
    if isinstance(detail, str):
        return detail
    message = detail.get("message") if isinstance(detail, dict) else None
    if isinstance(message, str):
        return message
    if isinstance(detail, list) and detail and all(isinstance(one, dict) for one in detail):
        return "; ".join(f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg')}" for one in detail)
    return json.dumps(detail)
