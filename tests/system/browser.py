# SPDX-License-Identifier: MIT
"""browser - Chromium without a window shows a page, which tells the test what its script has seen."""

import contextlib
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import threading

import pytest

from server import SLOWNESS

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
REPORT_TIMEOUT_S = 40 * SLOWNESS
# It shows our own page; in a container, and as root, it has no sandbox. It talks to nobody but this machine.
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-pings",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
           "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


class Handler(http.server.BaseHTTPRequestHandler):
    """The page at /, and what it reports at /report."""

    def do_GET(self):  # noqa: N802
        found = self.path == "/"
        body = self.server.page.encode() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):  # noqa: N802
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Pages(http.server.ThreadingHTTPServer):
    """One page, whose origin is known before it is shown."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.page, self.reports = "", queue.Queue()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def pages():
    """A server of pages, on a port of its own."""
    server = Pages()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def report_of(server, folder, script):
    """What `script`, the body of an asynchronous function, returned in a page of this server."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not program:
        pytest.skip("there is no Chromium on this machine (on Debian make test installs chromium-headless-shell)")
    server.page = f"""<!doctype html><title>test</title><script type="module">
async function seen() {{
{script}
}}
const report = await seen().catch((error) => ({{failed: `${{error}} ${{error.stack}}`}}));
await fetch("/report", {{method: "POST", body: JSON.stringify(report)}});
</script>"""
    with open(os.path.join(folder, "browser.log"), "wb") as log:
        process = subprocess.Popen([program, *OPTIONS, f"--user-data-dir={folder}/profile", server.origin + "/"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                   env={**os.environ, "HOME": str(folder)})
    try:
        report = server.reports.get(timeout=REPORT_TIMEOUT_S)
    except queue.Empty:
        with open(os.path.join(folder, "browser.log"), encoding="utf-8", errors="replace") as log:
            pytest.fail("the page reported nothing; the browser said:\n" + log.read()[-4000:])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    assert "failed" not in report, report["failed"]
    return report
