# SPDX-License-Identifier: MIT
"""graphs - small graphs of the authoring package `pipeline`, and what they refuse."""

import pytest

from pipeline import InputError, Pipeline, Variable, pipe


def graph_of(kind, function, **details):
    """A graph of one input and one pipe."""
    with Pipeline() as builder:
        builder.output(pipe(function)(Variable(kind, **details)))
    return builder.get_pipeline()


def echo(kind, **details):
    def same(value) -> kind:
        return value

    return graph_of(kind, same, **details)


def refusal(call, *arguments, error=InputError):
    with pytest.raises(error) as caught:
        call(*arguments)
    return repr(caught.value) if error is InputError else str(caught.value)
