# SPDX-License-Identifier: MIT
"""work - what every server is asked for: how many streams, how many lines, how fast."""

from typing import NamedTuple

from client import Load

TEXT_BYTES = 28  # makes a peer's own line 75 bytes, give or take the digits of its numbers
PACE_MS = 10
PACED_S = 3  # shorter, and the time until all streams are there would count for too much


class Scenario(NamedTuple):
    name: str
    about: str
    load: Load  # to begin with: what is not paced grows until it takes long enough

    @property
    def streams(self):
        return self.load.streams

    @property
    def is_paced(self):
        return self.load.pace_ms > 0

    @property
    def is_unary(self):
        return self.load.lines == 1

    @property
    def due_per_s(self):
        """Lines a second when none is late; 0 when there is no pace."""
        return self.streams * 1000 / self.load.pace_ms if self.is_paced else 0


SCENARIOS = (
    Scenario("F1", "1 stream, lines as fast as they come", Load(1, 2000, TEXT_BYTES)),
    Scenario("F32", "32 streams at once, lines as fast as they come", Load(32, 60, TEXT_BYTES)),
    Scenario("P1000", f"1,000 streams at once, a line every {PACE_MS} ms on each",
             Load(1000, PACED_S * 1000 // PACE_MS, TEXT_BYTES, PACE_MS)),
    Scenario("U64", "64 keep-alive connections, answers of one line", Load(64, 1, TEXT_BYTES, requests=640)),
)
