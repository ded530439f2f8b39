# SPDX-License-Identifier: MIT
"""What pipelines/facts.py finds of the package `pipeline` is what it found of the original, version 2.6.

original_facts.json is what the script printed with that. PIPELINE_ORIGINAL=FOLDER[:FOLDER...] runs it again: the folders
have the original and what it imports.
"""

import json
import os
import subprocess

import pytest

from server import TOP

HERE = os.path.dirname(os.path.abspath(__file__))
ORIGINAL = os.environ.get("PIPELINE_ORIGINAL")

with open(os.path.join(HERE, "original_facts.json"), encoding="utf-8") as recorded:
    FACTS = json.load(recorded)

# Where ours does something else, and why.
OTHERS = {
    # A query stays a query.
    "url http://x/a?q=1&r=\u00e4": "http://x/a?q=1&r=%C3%A4",
    # So that a schema with a file can be made of what it was told to be.
    "type of file": "File",
    # It is shown as its word, as the other states are.
    "state of a later server": "unknown",
    # The server says how large a file is.
    "fields of RemoteFileData": ["id", "path", "size", "url"],
}


def found(path, tmp_path):
    result = subprocess.run(["/usr/bin/python3", os.path.join(HERE, "pipelines/facts.py")], capture_output=True, text=True,
                            check=False, timeout=60, env={**os.environ, "PYTHONPATH": path, "PIPELINE_DIR": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return found(os.path.join(TOP, "worker/python"), tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("name", FACTS)
def test_it_does_as_the_original(ours, name):
    expected = OTHERS.get(name, FACTS[name])
    if name == "fields of Settings":  # the original makes 0 of this limit
        expected = [{**one, "multiple_of": 0.5} if one["title"] == "b" else one for one in expected]
    assert ours[name] == expected


def test_nothing_was_left_out(ours):
    assert ours.keys() == FACTS.keys() and len(FACTS) > 140
    assert all(FACTS[name] != OTHERS[name] for name in OTHERS)


if ORIGINAL:
    def test_the_original_still_does_what_was_recorded(tmp_path):
        assert found(ORIGINAL, tmp_path) == FACTS
