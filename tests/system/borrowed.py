# SPDX-License-Identifier: MIT
"""borrowed - what tests in other folders have of the system tests, whose conftest.py pytest gives to these alone."""

import importlib.util
import json
import os

import pytest

HOOKS = ("pytest_configure", "pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown")


def conftest():
    """That file, as a module of its own name: another folder's is loaded as `conftest` already."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "conftest.py")
    spec = importlib.util.spec_from_file_location("system_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lend(names, *others):
    """Gives the names of another conftest.py the hooks of that file, and these of it besides. Returns it."""
    module = conftest()
    names.update({name: getattr(module, name) for name in (*HOOKS, *others)})
    return module


@pytest.fixture
def figure(request, capsys):
    """figure("kill to error line 3.1 ms") is printed, and kept for docs/internals/faults.md where FIGURES says so."""
    def note(text):
        with capsys.disabled():
            print(f"\n    {request.node.name}: {text}", end="", flush=True)
        if "FIGURES" in os.environ:
            test = request.node.nodeid.rsplit("/", 1)[-1]
            with open(os.environ["FIGURES"], "a", encoding="utf-8") as file:
                file.write(json.dumps([test, text]) + "\n")

    return note
