# SPDX-License-Identifier: MIT
"""routes - a server for what a client says: it keeps what came, and answers as it was told to."""

import contextlib
import email.parser
import email.policy
import http.server
import json
import threading


class Site(http.server.BaseHTTPRequestHandler):
    """Answers as `routes` say, which maps "GET /path" to (status, JSON or bytes); keeps what came in `seen`."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.chunks() if self.headers.get("Transfer-Encoding") else \
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((f"{self.command} {self.path}", dict(self.headers), body))
        status, said, *fields = self.server.routes.get(f"{self.command} {self.path.partition('?')[0]}", (404, {"detail": "nothing here"}))
        said = said(self.headers, body) if callable(said) else said
        said = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        if "Content-Length" not in dict(fields):
            self.send_header("Content-Length", len(said))
        self.send_header("X-Correlation-Id", "request-7")
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served():
    """The server of a test, with `routes seen url`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.routes, server.seen = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def parts_of(fields, body):
    """name -> (file name, bytes) of a form."""
    whole = b"Content-Type: " + fields["Content-Type"].encode() + b"\r\n\r\n" + body
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(whole)
    return {part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
            for part in message.iter_parts()}
