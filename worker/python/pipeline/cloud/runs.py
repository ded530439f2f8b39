# SPDX-License-Identifier: MIT
"""runs - asks for runs by their ids, such as those of run_pipeline(..., async_run=True).

The functions whose names end in _async are the same for asyncio. Every call takes `url`, `token`,
`timeout_s` and `ssl_context`, as those of pipeline.cloud.pipelines do. A run that the server does not know
is an APIError with the status 404.
"""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from typing import TYPE_CHECKING

from pipeline.cloud.exchange import Endpoint, exchange, exchange_async
from pipeline.cloud.pipelines import the_one

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where
    from pipeline.cloud.results import RunResult

# The first question comes soon, the others after twice the time each, up to the interval.
FIRST_INTERVAL_S = 0.02
INTERVAL_S = 1.0
TIMEOUT_S = 5 * 60.0


def get_run(run_id: str, **where: Unpack[Where]) -> RunResult:
    """The run as it is now; of an asynchronous run that has completed, with its outputs."""
    return the_one(list(exchange(*request("GET", run_id, where))))


async def get_run_async(run_id: str, **where: Unpack[Where]) -> RunResult:
    """As get_run()."""
    return the_one([result async for result in exchange_async(*request("GET", run_id, where))])


def cancel_run(run_id: str, **where: Unpack[Where]) -> RunResult:
    """Ends a run; the run as it is then. One that has ended stays as it is."""
    return the_one(list(exchange(*request("DELETE", run_id, where))))


async def cancel_run_async(run_id: str, **where: Unpack[Where]) -> RunResult:
    """As cancel_run()."""
    return the_one([result async for result in exchange_async(*request("DELETE", run_id, where))])


def poll_for_run_completion(run_id: str, timeout_secs: float | None = TIMEOUT_S, interval_secs: float = INTERVAL_S,
                            **where: Unpack[Where]) -> RunResult:
    """Asks until the run has completed or failed, every `interval_secs` seconds at last; its last result.
    TimeoutError after `timeout_secs` seconds; None: never."""
    pauses = Pauses(run_id, interval_secs, timeout_secs)
    while not (result := get_run(run_id, **where)).is_final:
        time.sleep(pauses.next())
    return result


async def poll_for_run_completion_async(run_id: str, timeout_secs: float | None = TIMEOUT_S,
                                        interval_secs: float = INTERVAL_S, **where: Unpack[Where]) -> RunResult:
    """As poll_for_run_completion()."""
    pauses = Pauses(run_id, interval_secs, timeout_secs)
    while not (result := await get_run_async(run_id, **where)).is_final:
        await asyncio.sleep(pauses.next())
    return result


class Pauses:
    """How long to wait between two questions, and when to stop asking."""

    def __init__(self, run_id: str, interval_s: float, give_up_s: float | None) -> None:
        self.run_id = run_id
        self.interval_s = interval_s
        self.give_up_s = give_up_s
        self.pause_s = min(FIRST_INTERVAL_S, interval_s)
        self.deadline_s = None if give_up_s is None else time.monotonic() + give_up_s

    def next(self) -> float:
        """The next pause in seconds. TimeoutError when time is up."""
        left_s = self.pause_s
        if self.deadline_s is not None:
            left_s = self.deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"{self.run_id} has not ended in {self.give_up_s} s")
        pause_s = min(self.pause_s, left_s)
        self.pause_s = min(self.pause_s * 2, self.interval_s)
        return pause_s


def request(method: str, run_id: str, where: Where) -> tuple[Endpoint, bytes, bool]:
    """What exchange() takes: a run that ends as refused is no refusal of the question."""
    endpoint = Endpoint(**where)
    path = "/v4/runs/" + urllib.parse.quote(run_id, safe="")
    return endpoint, endpoint.request(method, path), False
