# SPDX-License-Identifier: MIT
"""fastapi_lines - the lines of pipelines/lines.py, served by FastAPI in the process that makes them.

    fastapi_lines.py PORT
"""

import json
import sys
import time
import uuid

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.post("/v4/runs/stream")
async def stream(request: Request):
    body = await request.json()
    count, text_bytes = (one["value"] for one in body["inputs"][:2])
    run, pipeline, created, text = "run_" + uuid.uuid4().hex, "pipeline_" + uuid.uuid4().hex, time.time(), "x" * text_bytes

    async def lines():
        for number in range(count):
            value = {"i": number, "t_ns": time.monotonic_ns(), "chunk": text}
            yield json.dumps({
                "id": run, "created_at": created, "updated_at": time.time(), "pipeline_id": pipeline,
                "state": "running", "queue_position": None, "inputs": None,
                "outputs": [{"type": "dictionary", "value": value, "file": None}], "error": None,
            }, separators=(",", ":")) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


if __name__ == "__main__":
    print(sys.argv[1], flush=True)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
