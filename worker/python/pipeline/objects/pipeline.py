# SPDX-License-Identifier: MIT
"""pipeline - `Pipeline`, where the original package has it."""

from pipeline.objects.builder import Pipeline

__all__ = ["Pipeline"]
