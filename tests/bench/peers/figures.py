# SPDX-License-Identifier: MIT
"""figures - medians and ranges of what a run wrote down, ready to be shown."""

from statistics import median
from typing import NamedTuple

from rounds import Spread, spread


class Row(NamedTuple):
    """One server in one scenario with one kind of line."""
    key: str
    title: str
    is_isolated: bool
    kind: str  # each, own, same
    said: str  # why there is nothing; else None
    rate: Spread = None
    ratio: Spread = None  # millrace's rate to this one's, round by round
    cpu_s: Spread = None  # for a million lines, all its processes
    cpu_ratio: Spread = None  # this one's to millrace's
    pss_bytes: int = None
    latency_p50_us: Spread = None
    latency_p99_us: Spread = None
    delivered: Spread = None  # share of what was due in the time
    calls: float = None  # system calls for a line, of all its processes
    bad: tuple = ()  # what was wrong with rounds that were done again


def rows(record, scenario):
    """millrace first, from all its rounds, then the peers in their order."""
    by_key = {one["key"]: one for one in record["peers"]}
    results = [result for result in record["results"] if result["scenario"] == scenario["name"]]
    measured = [result["series"]["millrace"] for result in results if "series" in result]
    if measured:
        yield ours(by_key["millrace"], scenario, measured)
    for result in results:
        one = by_key[result["peer"]]
        if "series" not in result:
            yield Row(one["key"], one["title"], one["is_isolated"], "own", result["said"])
            continue
        base = result["series"]["millrace"]["rounds"]
        for kind in ("each", "own", "same"):
            if kind in result["series"]:
                yield theirs(one, scenario, kind, result["series"][kind], base)


def ours(one, scenario, measured):
    together = {"pss_bytes": median(each["pss_bytes"] for each in measured),
                "bad": [text for each in measured for text in each["bad"]],
                "calls_per_line": middle_of([each.get("calls_per_line") for each in measured]),
                "rounds": [figures for each in measured for figures in each["rounds"]]}
    return theirs(one, scenario, "own", together, together["rounds"])


def middle_of(values):
    """Of those that there are."""
    there = [value for value in values if value is not None]
    return median(there) if there else None


def theirs(one, scenario, kind, series, base):
    each = series["rounds"]

    def of(name):
        return spread(figures[name] for figures in each)

    def ratio(name):
        return spread(first[name] / second[name] for first, second in zip(base, each))

    due = scenario["due_per_s"]
    return Row(
        one["key"], one["title"], one["is_isolated"], kind, None,
        rate=of("lines_per_s"), ratio=ratio("lines_per_s"),
        cpu_s=of("cpu_us_per_line"), cpu_ratio=spread(1 / value for value in ratio("cpu_us_per_line")),
        pss_bytes=series["pss_bytes"],
        bad=tuple(series["bad"]),
        calls=series.get("calls_per_line"),
        latency_p50_us=of("latency_p50_us"), latency_p99_us=of("latency_p99_us"),
        delivered=spread(min(1.0, figures["lines_per_s"] / due) for figures in each) if due else None)
