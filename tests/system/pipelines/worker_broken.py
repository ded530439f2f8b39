# SPDX-License-Identifier: MIT
"""worker_broken - a module that does not load."""

raise RuntimeError("broken on purpose")
