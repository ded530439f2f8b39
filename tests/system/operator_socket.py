# SPDX-License-Identifier: MIT
"""operator_socket - what the control socket of a server is asked, by the HTTP client of Python."""

import http.client
import json
import os
import socket


class Connection(http.client.HTTPConnection):
    """HTTP over the unix socket at this path."""

    def __init__(self, path, timeout_s=30):
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def path_of(server):
    """Of a server of a test, which has a folder of its own."""
    return os.path.join(server.folder, "control.sock")


def ask(server, method, path, body=None, timeout_s=30):
    """The status, and the object that came."""
    connection = Connection(path_of(server), timeout_s)
    try:
        connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def tell(server, action, **members):
    """The answer to POST /control/ACTION, which is taken."""
    status, answer = ask(server, "POST", "/control/" + action, members)
    assert status == 200, answer
    return answer


def refused(server, action, **members):
    """The status, and why that is not done."""
    status, answer = ask(server, "POST", "/control/" + action, members)
    assert status >= 400, answer
    return status, answer["detail"]


def state(server):
    status, answer = ask(server, "GET", "/control/state")
    assert status == 200, answer
    return answer


def pipeline_state(server, pointer):
    """Of the one that is served."""
    [found] = [pipeline for pipeline in state(server)["pipelines"]
               if pipeline["pointer"] == pointer and pipeline["phase"] == "served"]
    return found


def logs(server):
    connection = Connection(path_of(server))
    try:
        connection.request("GET", "/control/logs")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
