# SPDX-License-Identifier: MIT
"""decorators - `pipe` and `entity`, where the original package has them."""

from pipeline.objects.pipes import entity, pipe

__all__ = ["entity", "pipe"]
