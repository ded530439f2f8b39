# SPDX-License-Identifier: MIT
"""objects - what graphs are made of; `graph` has the names that pipelines import."""
