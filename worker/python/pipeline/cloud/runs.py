# SPDX-License-Identifier: MIT
"""runs - asks for runs by their ids, such as those of run_pipeline(..., async_run=True).

The functions whose names end in _async are the same for asyncio. Every call takes `url`, `token`,
`timeout_s` and `ssl_context`, as those of pipeline.cloud.pipelines do.
"""

import asyncio
import time
import urllib.parse

from pipeline.cloud.exchange import Endpoint, exchange, exchange_async
from pipeline.cloud.pipelines import the_one

# The first question comes soon, the others after twice the time each, up to `interval_s`.
FIRST_INTERVAL_S = 0.02


def get_run(run_id, **where):
    """The run as it is now; of an asynchronous run that has completed, with its outputs."""
    return the_one(list(exchange(*request("GET", run_id, where))))


async def get_run_async(run_id, **where):
    return the_one([result async for result in exchange_async(*request("GET", run_id, where))])


def cancel_run(run_id, **where):
    """Ends a run; the run as it is then. One that has ended stays as it is."""
    return the_one(list(exchange(*request("DELETE", run_id, where))))


async def cancel_run_async(run_id, **where):
    return the_one([result async for result in exchange_async(*request("DELETE", run_id, where))])


def poll_for_run_completion(run_id, interval_s=1.0, give_up_s=None, **where):
    """Asks until the run has completed or failed; its last result. TimeoutError after `give_up_s`."""
    pauses = Pauses(run_id, interval_s, give_up_s)
    while not (result := get_run(run_id, **where)).is_final:
        time.sleep(pauses.next())
    return result


async def poll_for_run_completion_async(run_id, interval_s=1.0, give_up_s=None, **where):
    pauses = Pauses(run_id, interval_s, give_up_s)
    while not (result := await get_run_async(run_id, **where)).is_final:
        await asyncio.sleep(pauses.next())
    return result


class Pauses:
    """How long to wait between two questions, and when to stop asking."""

    def __init__(self, run_id, interval_s, give_up_s):
        self.run_id = run_id
        self.interval_s = interval_s
        self.give_up_s = give_up_s
        self.pause_s = min(FIRST_INTERVAL_S, interval_s)
        self.deadline_s = None if give_up_s is None else time.monotonic() + give_up_s

    def next(self):
        left_s = self.pause_s
        if self.deadline_s is not None:
            left_s = self.deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"{self.run_id} has not ended in {self.give_up_s} s")
        pause_s = min(self.pause_s, left_s)
        self.pause_s = min(self.pause_s * 2, self.interval_s)
        return pause_s


def request(method, run_id, where):
    endpoint = Endpoint(**where)
    path = "/v4/runs/" + urllib.parse.quote(run_id, safe="")
    return endpoint, endpoint.request(method, path), False
