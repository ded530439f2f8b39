# SPDX-License-Identifier: MIT
"""asking - runs of a server whose answers may take as long as a driver does: a context alone can take seconds."""

import wire

TIMEOUT_S = 60


def stream(server, pointer, *values):
    """A stream, its head read; the caller closes it."""
    return wire.Stream(server.connect(timeout_s=TIMEOUT_S), wire.run_body(pointer, values))


def outputs(server, pointer, *values):
    """What the lines of a stream have."""
    with stream(server, pointer, *values) as opened:
        return [wire.output_of(line) for line in opened.all()]


def last(server, pointer, *values):
    """What the last line of a stream has, or its error."""
    with stream(server, pointer, *values) as opened:
        line = opened.all()[-1]
    return line["error"] or wire.output_of(line)


def result(server, pointer, *values):
    """What a run without a stream has made, or its error."""
    answer = server.ask("POST", "/v4/runs", wire.run_body(pointer, values), timeout_s=TIMEOUT_S)
    line = wire.result_of(answer)
    return line["error"] or line["outputs"][0]["value"]
