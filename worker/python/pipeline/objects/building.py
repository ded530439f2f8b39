# SPDX-License-Identifier: MIT
"""building - which graph is being built: what the `with Pipeline() as builder:` around a line says."""

import contextvars

_builder = contextvars.ContextVar("pipeline_builder", default=None)


def current():
    """The innermost builder, or None outside of any."""
    return _builder.get()


def enter(builder):
    """Returns what leave() needs."""
    return _builder.set(builder)


def leave(token):
    _builder.reset(token)
