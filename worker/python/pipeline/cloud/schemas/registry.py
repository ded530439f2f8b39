# SPDX-License-Identifier: MIT
"""registry - where images go, to a service that has a registry."""

from __future__ import annotations

from pipeline.cloud.schemas import BaseModel


class RegistryInformation(BaseModel):
    """Its address, and whether it has tokens of its own."""

    url: str
    special_auth: bool
