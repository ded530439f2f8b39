# SPDX-License-Identifier: MIT
"""nginx and uwsgi: a WSGI application whose lines are gathered, a process or a greenlet for each stream."""

import os
import subprocess

from peer import PeerBase
from stacks import nginx

PYTHON = "/usr/bin/python3"
HERE = os.path.dirname(os.path.abspath(__file__))
PROCESSES_MAX = 32  # for more streams than that greenlets are added
PROCESSES_FOR_GREENLETS = 2
UNARY_PROCESSES = 4

LOCATION = """
            uwsgi_pass behind;
            uwsgi_buffering on;
            uwsgi_buffer_size 64k;
            uwsgi_buffers 16 64k;
            uwsgi_busy_buffers_size 256k;
            uwsgi_max_temp_file_size 0;
            uwsgi_read_timeout 300s;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param CONTENT_TYPE $content_type;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param SERVER_NAME $server_name;
            uwsgi_param SERVER_PORT $server_port;
"""


class Peer(PeerBase):
    key = "uwsgi"
    title = "nginx + uwsgi"
    is_isolated = True
    about = ("Python; a process for each stream (4 for one-line answers; 2 with gevent for 1,000 streams); "
             "lines gathered to 16 KiB unless it must wait, buffered by nginx")
    needs = ("nginx", "uwsgi")

    def missing(self):
        done = subprocess.run([PYTHON, "-c", "import ujson"], stderr=subprocess.DEVNULL, check=False)
        return super().missing() or ("not installed: python3-ujson" if done.returncode else None)

    def version(self):
        said = subprocess.run(["uwsgi", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        python = subprocess.run([PYTHON, "-V"], stdout=subprocess.PIPE, text=True, check=True).stdout
        return f"{nginx.version()}, uwsgi {said.strip()}, {python.strip()}"

    def commands(self, setup):
        streams = setup.scenario.streams
        if setup.scenario.is_unary:
            size = ["--processes", str(UNARY_PROCESSES)]
        elif streams <= PROCESSES_MAX:
            size = ["--processes", str(streams)]
        else:
            size = ["--plugin", "gevent_python3", "--gevent-monkey-patch", "--processes", str(PROCESSES_FOR_GREENLETS), "--gevent",
                    str(streams)]
        server = ["uwsgi", "--plugin", "python3", "--socket", f"{setup.folder}/socket", "--chmod-socket=666", "--listen",
                  str(listen_backlog()), "--master", "--die-on-term", "--need-app", "--disable-logging", "--pythonpath",
                  HERE, "--module", "lines", "--buffer-size", "32768", *size]
        return [server, nginx.command(setup, LOCATION)]


def listen_backlog():
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        return min(4096, int(file.read()))
