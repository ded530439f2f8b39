# SPDX-License-Identifier: MIT
"""contest - millrace and one peer in one scenario: each sized and warmed up, then measured in turn."""

from typing import Any, NamedTuple

import calls
import client
import rounds
from rounds import Contestant

WARM_UP_COUNT = 3
TRY_COUNT = 4


class Side(NamedTuple):
    """A server at one of its paths, as client.measure wants it."""
    server: Any
    path: str

    @property
    def port(self):
        return self.server.port

    def cpu_s(self):
        return self.server.cpu_s()

    def pss_bytes(self):
        return self.server.pss_bytes()


def kinds(scenario, paths):
    """The lines to measure: all three where lines could be gathered and where bytes make a difference."""
    wanted = ("own",) if scenario.is_paced or scenario.is_unary else ("each", "own", "same")
    return [kind for kind in wanted if kind in paths]


def held(ours, theirs, paths, scenario, round_count, seconds, on_round):
    """What each measured, by the kind of line; millrace's stands under "millrace"."""
    sides = {"millrace": Side(ours, ours.path)}
    sides.update({kind: Side(theirs, paths[kind]) for kind in kinds(scenario, paths)})
    warm = [warmed(Contestant(label, side, scenario.load), seconds) for label, side in sides.items()]
    series = {one.label: {"load": one.load._asdict(), "pss_bytes": pss_bytes, "rounds": [], "bad": []}
              for one, pss_bytes in warm}
    for number in range(round_count):
        on_round(number)
        for one, _ in warm:
            figures = measured(one, series[one.label]["bad"])
            series[one.label]["rounds"].append(figures)
    if not scenario.is_paced:
        for one, _ in warm:
            series[one.label]["calls_per_line"] = calls.per_line(one.server, one.label, one.load)
    return series


def measured(one, bad, **options):
    """Once more when answers were not what was asked for: what was wrong is kept, and told with the figures."""
    for _ in range(TRY_COUNT - 1):
        try:
            return client.measure(one.server, one.load, **options)
        except client.Failed as error:
            bad.append(str(error))
    return client.measure(one.server, one.load, **options)


def warmed(one, seconds):
    """The contestant with a load of about so many seconds, and its memory in the middle of it. Servers that
    compile while they run are sized again when they have."""
    one = rounds.sized(one, seconds)
    expected_s = one.load.lines * one.load.pace_ms / 1000 or seconds
    for _ in range(1 if one.load.pace_ms else WARM_UP_COUNT):
        figures = measured(one, [], sample_after_s=expected_s / 2)
        if not one.load.pace_ms:
            one = one._replace(load=rounds.grown(one.load, seconds / figures["seconds"]))
    return one, sum(figures["pss_bytes"].values())
