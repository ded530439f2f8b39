# SPDX-License-Identifier: MIT
"""rounds - contestants measured in turn, so that all meet the same noise; medians and ranges of what came."""

import statistics
from typing import Any, NamedTuple

import client

WARM_UP_S = 0.15  # a measurement as long as that says how long a larger one will take
GROWTH_MAX = 20


class Contestant(NamedTuple):
    label: str
    server: Any
    load: client.Load


class Spread(NamedTuple):
    middle: float
    low: float
    high: float


def spread(values):
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def sized(one, seconds):
    """The contestant with a load that takes it about so long. A paced one takes what it takes."""
    load = one.load
    if load.pace_ms or load.duration_s:
        return one
    for _ in range(12):
        taken = client.measure(one.server, load)["seconds"]
        if taken >= WARM_UP_S:
            break
        load = grown(load, min(GROWTH_MAX, 1.5 * WARM_UP_S / max(taken, 1e-6)))
    return one._replace(load=grown(load, seconds / taken))


def grown(load, factor):
    """More lines of each answer; where one line is the point, more requests."""
    if load.lines == 1:
        return load._replace(requests=max(load.streams, round(load.request_count * factor)))
    return load._replace(lines=max(2, round(load.lines * factor)))


def in_turn(contestants, round_count, seconds, on_round):
    """What each measured in each round, with a load of about so many seconds: {label: [figures, ...]}."""
    return measured_in_turn([sized(one, seconds) for one in contestants], round_count, on_round)


def measured_in_turn(contestants, round_count, on_round):
    series = {one.label: [] for one in contestants}
    for number in range(round_count):
        on_round(number)
        for one in contestants:
            series[one.label].append(client.measure(one.server, one.load))
    return series


def ratios(series, metric, label, against):
    """Of each round."""
    return [first[metric] / second[metric] for first, second in zip(series[label], series[against])]
