# SPDX-License-Identifier: MIT
"""cloud - the client: `pipelines` runs pipelines, `runs` asks for runs, `http` asks for anything.

    from pipeline.cloud.pipelines import stream_pipeline

    for result in stream_pipeline("my_user/my_pipeline:v1", "hello there world"):
        print(result.outputs_formatted()[0])

Where and as whom: the arguments `url` and `token` of every call; else the active remote of pipeline.configuration;
else PIPELINE_API_URL (http://127.0.0.1:8080 when it is not set) and PIPELINE_API_TOKEN.
"""

from __future__ import annotations


def authenticate(token: str, url: str) -> None:
    """HTTPStatusError unless the server at the URL takes the token."""
    from pipeline.cloud import http

    http.request("GET", "/v4/tokens/validate", url=url, token=token).raise_for_status()
