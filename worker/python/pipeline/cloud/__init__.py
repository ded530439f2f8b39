# SPDX-License-Identifier: MIT
"""cloud - the client: `pipelines` runs pipelines, `runs` asks for runs.

    from pipeline.cloud.pipelines import stream_pipeline

    for result in stream_pipeline("my_user/my_pipeline:v1", "hello there world"):
        print(result.outputs_formatted()[0])

Where and as whom: PIPELINE_API_URL (http://127.0.0.1:8080 when it is not set) and PIPELINE_API_TOKEN, or
the arguments `url` and `token` of every call.
"""
