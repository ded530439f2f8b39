# SPDX-License-Identifier: MIT
"""proxy - nginx in front of a server under test."""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess

import pytest


@contextlib.contextmanager
def nginx(folder, location, http="", tls=None):
    """nginx with these directives for all locations, and these beside its one server; its URL. With `tls`
    it speaks https by the certificate and key of these names, and HTTP/2 to whoever does. The port is
    ours before it starts: it inherits the socket."""
    if not shutil.which("nginx"):
        pytest.fail("nginx is not installed (make test installs nginx-light)")
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        certificate = f"        ssl_certificate {tls[0]};\n        ssl_certificate_key {tls[1]};\n" if tls else ""
        (folder / "nginx.conf").write_text(
            f"daemon off;\nuser {user} {group};\npid {folder}/pid;\nevents {{}}\n"
            f"http {{\n    access_log off;\n{temporary}    {http}\n"
            f"    server {{\n        listen 127.0.0.1:{port}{' ssl http2' if tls else ''};\n{certificate}"
            f"        location / {{\n            {location}\n        }}\n    }}\n}}\n")
        with open(folder / "stderr", "wb") as stderr:
            process = subprocess.Popen(
                ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")],
                env=dict(os.environ, NGINX=f"{listener.fileno()};"), pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL, stderr=stderr)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
        assert process.poll() is None, (folder / "stderr").read_text()
    finally:
        process.terminate()
        process.wait(10)
