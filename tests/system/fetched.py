# SPDX-License-Identifier: MIT
"""fetched - commands whose tests need what has to be fetched first, and that are skipped where it cannot be."""

import os
import subprocess
import sys

TIMEOUT_S = 600


class Missing(Exception):
    """What these tests need is not to be had here."""


def run(folder, fetch, required):
    """Fetches, builds, and runs the tests of a folder, with the options of the command line. An exit status: where
    something is missing 0, and 1 if the variable that is called `required` is 1."""
    os.chdir(os.path.dirname(os.path.dirname(folder)))
    try:
        fetch()
    except Missing as reason:
        print(f"skipped: {reason}")
        return 1 if os.environ.get(required) == "1" else 0
    subprocess.run(["make", "-s", "all"], check=True)
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", folder, *sys.argv[1:]],
                          check=False).returncode


def told(*command):
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        first = error.stderr.strip().splitlines()[:1]
        raise Missing(f"{' '.join(command[:2])}: {''.join(first) or f'status {error.returncode}'}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{' '.join(command[:2])}: {error}") from None
