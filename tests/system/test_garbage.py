# SPDX-License-Identifier: MIT
"""A few hundred connections of half-valid HTTP, workers killed meanwhile; `make garbage` goes on for longer."""

import os
import subprocess
import sys

import pytest

import server as servers

CONNECTIONS = 500


@pytest.mark.bounded(120)
@pytest.mark.parametrize("seed", [1, 2])
def test_half_valid_http_harms_nobody(seed):
    result = subprocess.run([sys.executable, os.path.join(servers.TOP, "tests", "garbage", "run"), "--seed", str(seed),
                             "--connections", str(CONNECTIONS)], capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{CONNECTIONS} connections, passed" in result.stdout
