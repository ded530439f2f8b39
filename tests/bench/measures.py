# SPDX-License-Identifier: MIT
"""measures - what must be shown, as ratios of one run: at least so much, and what is aimed at."""

from typing import NamedTuple

import rounds
from rounds import Spread, spread

KIB = 1 << 10


class Measure(NamedTuple):
    scenario: str
    label: str  # whose figures
    metric: str
    against: str  # a ratio to this one's; "": the figure itself
    bound: float
    aim: float
    is_least: bool  # else a most
    text: str
    unit: str = "x"


class Outcome(NamedTuple):
    measure: Measure
    value: Spread

    @property
    def verdict(self):
        holds = {name: (self.value.middle >= limit) if self.measure.is_least else (self.value.middle <= limit)
                 for name, limit in (("aim", self.measure.aim), ("bound", self.measure.bound))}
        return "as aimed" if holds["aim"] else "enough" if holds["bound"] else "NOT ENOUGH"


def least(scenario, label, metric, against, bound, aim, text, unit="x"):
    return Measure(scenario, label, metric, against, bound, aim, True, text, unit)


def most(scenario, label, metric, against, bound, aim, text, unit="x"):
    return Measure(scenario, label, metric, against, bound, aim, False, text, unit)


MEASURES = (
    least("F1", "millrace", "lines_per_s", "gathered", 0.5, 0.8, "lines/s against one process, gathered"),
    least("F32", "millrace", "lines_per_s", "gathered", 0.7, 1.0, "lines/s against one process, gathered"),
    least("F1000", "millrace", "lines_per_s", "gathered", 0.7, 1.0, "lines/s against one process, gathered"),
    least("F32", "millrace", "lines_per_s", "single", 5, 10, "lines/s against one process, a send for each line"),
    least("F32", "millrace", "lines_per_s", "pipe", 2, 3, "lines/s against a worker behind a pipe"),
    most("P1000", "millrace", "cpu_us_per_line", "gathered", 2.0, 1.3, "server CPU for a line against one process"),
    least("P1000", "millrace", "delivered", "", 98, 99.5, "lines that came of those that were due", "%"),
    most("P1000", "millrace", "latency_p99_us", "gathered", 3, 1.5, "one-way p99 against one process"),
    most("idle", "millrace", "latency_p50_us", "gathered", 2.5, 1.5, "one-way p50 against one process"),
    least("U64", "millrace", "requests_per_s", "gathered", 0.4, 0.7, "requests/s against one process"),
    least("stalled", "stalled", "lines_per_s", "undisturbed", 0.95, 0.99, "lines/s of the others, against undisturbed"),
    most("P10000", "millrace", "bytes_per_stream", "", 48 * KIB, 16 * KIB, "dispatcher memory for a stream", "B"),
    most("connections", "", "bytes_each", "", 4 * KIB, KIB, "dispatcher memory for an idle connection", "B"),
    most("C32", "", "system calls, dispatcher", "", 0.1, 0.02, "system calls of the dispatcher for a chunk", ""),
    most("C32", "", "heap allocations, dispatcher", "", 0, 0, "heap allocations of the dispatcher for a chunk", ""),
    least("B1M", "millrace", "bytes_per_s", "gathered", 0.6, 0.9, "bytes/s against one process"),
    least("client", "32 streams, looked at", "client_lines_per_cpu_s", "", 10e6, 10e6, "lines the client itself reads in a CPU second", ""),
    least("python", "1 worker", "lines_per_s", "fastapi", 2, 5, "lines/s against FastAPI, in process"),
)


def outcomes(results):
    """Of the measures whose scenarios were run."""
    for measure in MEASURES:
        result = results.get(measure.scenario)
        if not result:
            continue
        if "series" in result:
            series = result["series"]
            if measure.against and measure.against not in series:
                continue
            values = rounds.ratios(series, measure.metric, measure.label, measure.against) if measure.against \
                else [figures[measure.metric] for figures in series[measure.label]]
        else:
            figures = result["figures"]
            # What happens a few times in a million is not of a chunk.
            values = [round(figures.get("per_chunk", figures)[measure.metric], 5)]
        yield Outcome(measure, spread(values))
