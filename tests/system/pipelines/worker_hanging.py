# SPDX-License-Identifier: MIT
"""worker_hanging - a module that is never loaded."""

import time

time.sleep(3600)
