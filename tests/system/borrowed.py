# SPDX-License-Identifier: MIT
"""borrowed - what tests in other folders have of the system tests, whose conftest.py pytest gives to these alone."""

import importlib.util
import os


def conftest():
    """That file, as a module of its own name: another folder's is loaded as `conftest` already."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "conftest.py")
    spec = importlib.util.spec_from_file_location("system_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
