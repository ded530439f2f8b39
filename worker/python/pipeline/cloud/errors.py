# SPDX-License-Identifier: MIT
"""errors - what can keep a call from its results.

A run that fails is no exception: its result has an `error`. These are about everything else; that there
is nobody at the address is an OSError, and no sign of life within `timeout_s` a TimeoutError.
"""


class CloudError(Exception):
    """Any of these."""


class ApiError(CloudError):
    """The server refused the request, or something that is no millrace answered."""

    def __init__(self, status, text, detail=None):
        super().__init__(f"the server answered with status {status}: {text}")
        self.status = status
        self.text = text
        self.detail = detail


class NoResourcesAvailable(CloudError):
    """Nothing can run this now: the queue is full, the pipeline is loading, the server stops."""

    def __init__(self, result, status, retry_after_s=None):
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

    def __init__(self, result):
        error = result.error
        super().__init__(f"{error.type}: {error.message}" + (f"\n{error.traceback}" if error.traceback else ""))
        self.result = result
