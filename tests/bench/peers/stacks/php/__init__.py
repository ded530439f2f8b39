# SPDX-License-Identifier: MIT
"""nginx and php-fpm: a PHP process for each stream, output buffered by PHP and by nginx."""

import glob
import os
import shutil
import subprocess

from peer import PeerBase
from stacks import nginx

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lines.php")
# A kept connection holds its process even while it is idle, and each process of nginx keeps its own: with
# fewer processes than that, requests would wait for connections that nobody uses.
UNARY_CHILDREN_PER_CONNECTION = 2
KEPT = "            fastcgi_keep_conn on;"

POOL = """
[global]
daemonize = no
error_log = /dev/stderr
log_level = warning
[lines]
user = {user}
group = {group}
listen = {folder}/socket
listen.mode = 0666
listen.backlog = 4096
pm = static
pm.max_children = {children}
clear_env = no
php_admin_value[output_buffering] = 65536
php_admin_value[max_execution_time] = 0
php_admin_value[zlib.output_compression] = 0
"""

# PHP says X-Accel-Buffering: no for streams that wait for their next line; all others are gathered.
LOCATION = """
            fastcgi_pass behind;
            fastcgi_buffering on;
            fastcgi_buffer_size 64k;
            fastcgi_buffers 16 64k;
            fastcgi_busy_buffers_size 256k;
            fastcgi_max_temp_file_size 0;
            fastcgi_read_timeout 300s;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param SCRIPT_FILENAME {script};
"""


def program():
    """Debian names it by its version, and keeps it where only root looks."""
    found = shutil.which("php-fpm") or next(iter(sorted(glob.glob("/usr/sbin/php-fpm*"))), None)
    return found


class Peer(PeerBase):
    key = "php"
    title = "nginx + php-fpm"
    is_isolated = True
    about = ("a process for each stream (for one-line answers two for each client, with kept FastCGI connections); 64 KiB of output "
             "buffering in PHP and in nginx; opcache with its compiler")
    needs = ("nginx",)

    def missing(self):
        return super().missing() or (None if program() else "not installed: php-fpm")

    def version(self):
        said = subprocess.run([program(), "-v"], stdout=subprocess.PIPE, text=True, check=True).stdout
        return f"{nginx.version()}, PHP {said.split()[1]}"

    def commands(self, setup):
        children = connections = setup.scenario.streams
        location = LOCATION.format(script=SCRIPT)
        if setup.scenario.is_unary:
            children *= UNARY_CHILDREN_PER_CONNECTION
            location += KEPT
        pool = os.path.join(setup.folder, "fpm.conf")
        with open(pool, "w", encoding="ascii") as file:
            file.write(POOL.format(user=nginx.user(), group=nginx.user(), folder=setup.folder, children=children))
        options = ["-d", "opcache.enable=1", "-d", "opcache.jit_buffer_size=32M", "-d", "opcache.jit=tracing",
                   "-d", "opcache.validate_timestamps=0"]
        return [[program(), "-F", "-R", "-y", pool, *options],
                nginx.command(setup, location, kept=connections)]
