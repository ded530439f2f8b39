# SPDX-License-Identifier: MIT
"""control_server - what answers on a control socket in place of a server: any state, any mistake."""

import contextlib
import http.server
import itertools
import json
import os
import socketserver
import threading


def worker(number=0, **more):
    return {"number": number, "pid": 4711 + number, "state": "ready", "age_s": 192.5, "active": 1, "slots": 4,
            "restarts": 0, "memory_bytes": 12900000, "cpu_s": 1.5, "ring_bytes": 1048576, "ring_used_bytes": 31457, **more}


def pipeline(pointer="me/words:v1", workers=(worker(),), **more):
    return {"pointer": pointer, "id": "pipeline_" + "0" * 32, "state": "ready", "phase": "served", "drained": False,
            "error": None, "active": len(workers), "queued": 0, "queue_max": 1024, "workers_min": len(workers),
            "workers_max": len(workers), "workers_wanted": len(workers), "accepted": 10, "completed": 8, "failed": 1,
            "cancelled": 0, "refused": 0, "lines": 5000,
            "first_chunk": {"le_s": [0.001, 0.01, 0.1], "counts": [0, 3, 9], "count": 9}, "workers": list(workers), **more}


def state(*pipelines, aliases=(), clients=(), reload=(), **more):
    return {"server": {"pid": os.getpid(), "version": "0.1.0", "started_at": 1700000000.123, "uptime_s": 192.5,
                       "state": "serving", "listen": ["127.0.0.1:8080"], "config": None, "connections": 3,
                       "connections_max": 16384, "runs": sum(one["active"] for one in pipelines),
                       "queued": sum(one["queued"] for one in pipelines), "input_bytes": 0,
                       "input_bytes_max": 268435456, "output_bytes": 0, "output_bytes_max": 536870912, "lines": 123456,
                       **more},
            "reload": {"state": "idle", "generation": 3, "succeeded": 2, "failed": 0, "last_at": None,
                       "last_result": None, **dict(reload)},
            "pipelines": list(pipelines), "aliases": list(aliases), "clients": list(clients)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.respond(None)

    def do_POST(self):
        self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def respond(self, body):
        control = self.server.control
        control.requests.append((self.command, self.path, body))
        control.connections.add(id(self.request))
        answer = control.routes.get(self.path)
        answer = answer(body) if callable(answer) else answer
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        if answer is None:
            status, answer = 404, {"detail": "there is no such route"}
        if isinstance(answer, (dict, list)):
            answer = json.dumps(answer).encode() + b"\n"
        if isinstance(answer, bytes):
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        else:
            self.stream(answer)

    def stream(self, pieces):
        """The first piece is what there was; the others come one by one."""
        past = next(pieces)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Millrace-Log-Bytes", str(len(past)))
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in itertools.chain([past], pieces):
                if piece:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

    def address_string(self):
        return "control"

    def log_message(self, format, *arguments):
        pass


class Sockets(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that leave are no news here


class Control:
    """Answers by `routes`: what is JSON, bytes, (status, either), an iterator of bytes, or a function of the body
    that returns one of these."""

    def __init__(self, folder, routes):
        self.path = os.path.join(str(folder), "control.sock")
        self.routes = dict(routes)
        self.requests = []
        self.connections = set()
        self.server = Sockets(self.path, Handler)
        self.server.control = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@contextlib.contextmanager
def answering(folder, routes):
    control = Control(folder, routes)
    try:
        yield control
    finally:
        control.end()
