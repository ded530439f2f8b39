# SPDX-License-Identifier: MIT
"""nginx - the front of the peers that stand behind one."""

import os
import pwd
import subprocess

CONFIGURATION = """
daemon off;
user {user};
worker_processes auto;
worker_rlimit_nofile 8192;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    tcp_nodelay on;
    upstream behind {{
        server unix:{folder}/socket;
        keepalive {kept};
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
{location}
        }}
    }}
}}
"""


def user():
    return pwd.getpwuid(os.getuid()).pw_name


def command(setup, location, kept=1):
    """nginx in the foreground, in front of the socket in the folder; it may keep so many connections."""
    path = os.path.join(setup.folder, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(CONFIGURATION.format(user=user(), folder=setup.folder, port=setup.port, location=location, kept=kept))
    return ["nginx", "-e", "stderr", "-p", setup.folder, "-c", path]


def version():
    said = subprocess.run(["nginx", "-v"], stderr=subprocess.PIPE, text=True, check=True).stderr
    return "nginx " + said.strip().rpartition("/")[2]
