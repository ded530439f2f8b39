# SPDX-License-Identifier: MIT
"""FastAPI under uvicorn: a StreamingResponse over an asynchronous generator."""

import os
import subprocess

from peer import PeerBase

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


class Peer(PeerBase):
    key = "fastapi"
    title = "FastAPI"
    about = "uvicorn with uvloop and httptools, 2 workers; a StreamingResponse, ujson"

    def missing(self):
        done = subprocess.run([PYTHON, "-c", "import fastapi, httptools, ujson, uvicorn, uvloop"], stderr=subprocess.PIPE,
                              text=True, check=False)
        return f"not installed: {done.stderr.strip().splitlines()[-1]}" if done.returncode else None

    def version(self):
        told = subprocess.run(
            [PYTHON, "-c", "import fastapi, sys, uvicorn; print('FastAPI', fastapi.__version__ + ', uvicorn', "
             "uvicorn.__version__ + ', Python', sys.version.split()[0])"], stdout=subprocess.PIPE, text=True, check=True)
        return told.stdout.strip()

    def commands(self, setup):
        return [[PYTHON, "-m", "uvicorn", "lines:app", "--app-dir", HERE, "--host", "127.0.0.1", "--port",
                 str(setup.port), "--workers", "2", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning",
                 "--no-access-log", "--backlog", "4096"]]
