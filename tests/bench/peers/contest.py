# SPDX-License-Identifier: MIT
"""contest - millrace and one peer in one scenario: each sized and warmed up, then measured in turn."""

from typing import Any, NamedTuple

import client
import rounds
from rounds import Contestant


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
    sized = [rounds.sized(Contestant(label, side, scenario.load), seconds) for label, side in sides.items()]
    memory = {one.label: memory_of(one, seconds) for one in sized}
    series = rounds.measured_in_turn(sized, round_count, on_round)
    return {one.label: {"load": one.load._asdict(), "pss_bytes": memory[one.label], "rounds": series[one.label]}
            for one in sized}


def memory_of(one, seconds):
    """In the middle of a measurement, which also warms it up."""
    expected_s = one.load.lines * one.load.pace_ms / 1000 or seconds
    figures = client.measure(one.server, one.load, sample_after_s=expected_s / 2)
    return sum(figures["pss_bytes"].values()) if "pss_bytes" in figures else None
