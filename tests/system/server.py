# SPDX-License-Identifier: MIT
"""server - a real `millrace serve` for one or several tests: started, heard, always ended.

The server listens on a free port of 127.0.0.1, which its ready line names. Its log (stderr) is read by
a thread, so that tests wait for events in it rather than for time to pass.
"""

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import exposition
import wire

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Where everything was built, programs for tests included.
MADE = os.path.join(TOP, os.environ.get("BUILD", "build/release"))


def is_open(path):
    """Whether every user may read it, and enter the folders above it."""
    folders = [path[:end] or "/" for end, letter in enumerate(path) if letter == "/"]
    return bool(os.stat(path).st_mode & 0o004) and all(os.stat(folder).st_mode & 0o001 for folder in folders)


def built():
    """The folders of programs and of examples. Tests run them as other users, too; so where those may
    not, in a folder of root's, it is a copy for everybody, which goes with this process."""
    examples = os.path.join(TOP, "build/examples")
    if os.geteuid() != 0 or is_open(os.path.join(MADE, "millrace")):
        return MADE, examples
    copy = tempfile.mkdtemp(prefix="millrace-built-", dir="/tmp")
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    target = os.path.join(copy, os.path.basename(os.path.normpath(MADE)))
    os.mkdir(target)
    for name in ("millrace", "millrace-worker"):
        shutil.copy(os.path.join(MADE, name), target)
    if os.path.exists(os.path.join(MADE, "python")):
        shutil.copytree(os.path.join(MADE, "python"), os.path.join(target, "python"))
    shutil.copytree(examples, os.path.join(copy, "examples"))
    subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
    return target, os.path.join(copy, "examples")


BUILD, EXAMPLES = built()
MILLRACE = os.path.join(BUILD, "millrace")

# Sanitizers slow everything down; bounds on times grow with this.
IS_SANITIZED = os.path.basename(os.path.normpath(BUILD)) in ("asan", "tsan")
SLOWNESS = 4 if IS_SANITIZED else 1

READY_TIMEOUT_S = 30 * SLOWNESS
LOG_TIMEOUT_S = 10 * SLOWNESS
STOP_TIMEOUT_S = 20 * SLOWNESS

# Workers of a server that is root have users of their own, who cannot read what lies in a folder of
# root's, like those of pytest. Tests that are not about that (test_own_users.py is) do without.
AS_SERVER = ["--worker-user", "root"] if os.geteuid() == 0 else []

SANITIZER_REPORT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer:|runtime error:")
# Pipelines that crash on purpose end by the signal itself, as they do without sanitizers.
WORKER_SANITIZER_OPTIONS = "handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0"


def example(name):
    return os.path.join(EXAMPLES, name)


class Server:
    """One server process. Use it as a context: leaving it stops the server and checks how it ended."""

    def __init__(self, folder, pipelines, *options, command=(), environment=None, inherited=(), worker_options="",
                 deaf=False, default_user=False):
        """`command` is put in front of the server's own; `environment` is added to its own; it inherits
        these descriptors; `worker_options` are for the sanitizers of workers alone; and of a `deaf` one
        the log is not read until read_log(); with `default_user` nothing is said of the workers' user."""
        self.folder = str(folder)
        self.log = []
        self.address = None
        self.ready_line = None
        self._heard = threading.Condition()
        self._log_ended = False
        self.process = subprocess.Popen(
            [*command, MILLRACE, "serve", *pipelines, "--listen", "127.0.0.1:0",
             *([] if default_user or "--worker-user" in options else AS_SERVER), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self._environment(environment or {}, worker_options), cwd=self.folder,
            pass_fds=inherited)
        self._threads = []
        self._start_thread(self._hear_stdout)
        if not deaf:
            self.read_log()

    def read_log(self):
        self._start_thread(self._hear_log)

    def _start_thread(self, target):
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _environment(self, extra, worker_options):
        """Sanitizers write to files, since the log has a rate limit for what workers print."""
        with open(os.path.join(self.folder, "options.millrace-worker"), "w", encoding="ascii") as file:
            file.write(":".join(filter(None, [WORKER_SANITIZER_OPTIONS, worker_options])))
        # The control socket, too, is a file of its own.
        result = dict(os.environ, TMPDIR=self.folder, RUNTIME_DIRECTORY=self.folder)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            own = f"log_path={self.folder}/sanitizer:include_if_exists={self.folder}/options.%b"
            result[name] = ":".join(filter(None, [os.environ.get(name), own]))
        return {**result, **extra}

    def _hear_log(self):
        for line in self.process.stderr:
            with self._heard:
                self.log.append(line.decode(errors="replace").rstrip("\n"))
                self._heard.notify_all()
        with self._heard:
            self._log_ended = True
            self._heard.notify_all()

    def _hear_stdout(self):
        for line in self.process.stdout:
            with self._heard:
                self.ready_line = self.ready_line or line.decode()
                self._heard.notify_all()

    # ---- being ready -------------------------------------------------------------------------------

    def wait_listening(self):
        """The address is known; pipelines may still be loading."""
        match = self.wait_log(r" listening address=(\S+)", timeout_s=READY_TIMEOUT_S)
        self.address = match[1]
        return self

    def wait_ready(self):
        with self._heard:
            self._heard.wait_for(lambda: self.ready_line or self._log_ended, READY_TIMEOUT_S)
        assert self.ready_line, "no ready line; the log:\n" + "\n".join(self.log)
        match = re.match(r"millrace: ready on http://(\S+) ", self.ready_line)
        assert match, self.ready_line
        self.address = match[1]
        return self

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    @property
    def url(self):
        return f"http://{self.address}"

    # ---- listening to it ---------------------------------------------------------------------------

    def log_mark(self):
        """Where the log ends now; wait_log() and log_since() look only behind it."""
        return len(self.log)

    def log_since(self, mark, pattern=""):
        return [line for line in self.log[mark:] if re.search(pattern, line)]

    def wait_log(self, pattern, since=0, timeout_s=LOG_TIMEOUT_S):
        """The match of the first line that has the pattern. It may have come before the call."""
        found = []

        def look():
            while look.next < len(self.log) and not found:
                match = re.search(pattern, self.log[look.next])
                look.next += 1
                if match:
                    found.append(match)
            return bool(found) or self._log_ended

        look.next = since
        with self._heard:
            self._heard.wait_for(look, timeout_s)
        assert found, f"nothing in the log matches {pattern!r}; its end:\n" + "\n".join(self.log[-40:])
        return found[0]

    def wait_run_end(self, run_id, since=0):
        """What the log says of a failed or cancelled run's end."""
        return self.wait_log(rf" run_end run={run_id} .*", since)[0]

    # ---- asking it ---------------------------------------------------------------------------------

    def connect(self, **options):
        return wire.Connection(self.port, **options)

    def ask(self, method, path, body=None, headers=None, **options):
        """One request on a connection of its own."""
        with self.connect(**options) as connection:
            connection.request(method, path, body, headers)
            return connection.response(method)

    def get(self, path, headers=None):
        return self.ask("GET", path, headers=headers)

    def run(self, pointer, *values, headers=None, **members):
        """POST /v4/runs: one result."""
        return self.ask("POST", "/v4/runs", wire.run_body(pointer, values, **members), headers)

    def stream(self, pointer, *values, headers=None, **members):
        """POST /v4/runs/stream on a connection of its own, its head read; the caller closes it."""
        return wire.Stream(self.connect(), wire.run_body(pointer, values, **members), headers)

    def lines(self, pointer, *values, **members):
        """All lines of a stream, checked."""
        with self.stream(pointer, *values, **members) as stream:
            return stream.all()

    def pipeline(self, pointer):
        response = self.get("/v4/pipelines/" + pointer)
        assert response.status == 200, response
        return response.json()

    def workers(self, pointer):
        return self.pipeline(pointer)["workers"]

    def wait_worker(self, pointer, index, other_than, since=0):
        """Waits until a new process serves as this worker; returns its number."""
        pattern = rf" worker_ready pipeline={re.escape(pointer)} worker={index} pid=(?!{other_than} )(\d+)"
        return int(self.wait_log(pattern, since)[1])

    def metric(self, name, headers=None):
        """The value of one metric; `name` may have labels."""
        for line in self.get("/metrics", headers).body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def metrics(self):
        """All families, read strictly."""
        return exposition.parse(self.get("/metrics").body)

    def cpu_s(self):
        """Processor time the server itself has used."""
        return process_cpu_s(self.process.pid)

    def is_alive(self):
        return self.process.poll() is None

    # ---- ending it ---------------------------------------------------------------------------------

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout_s=STOP_TIMEOUT_S):
        """The exit status; negative: the signal that ended it."""
        status = self.process.wait(timeout_s)
        for thread in self._threads:
            thread.join(timeout_s)
        return status

    def stop(self, expected=0):
        """A clean stop by SIGTERM; the sanitizers had nothing to say."""
        if self.is_alive():
            self.signal(signal.SIGTERM)
        status = self.wait_exit()
        assert status == expected, f"the server ended with {status}; the end of its log:\n" \
            + "\n".join(self.log[-40:])
        self.check_reports()

    def check_reports(self):
        reports = [line for line in self.log if SANITIZER_REPORT.search(line)]
        for name in sorted(os.listdir(self.folder)):
            if name.startswith("sanitizer."):
                with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                    reports.append(f"{name}:\n{file.read()}")
        assert not reports, "\n".join(reports)

    def end(self):
        """Whatever happened: the process is gone afterwards. Its workers follow it by themselves."""
        if self.is_alive():
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(5)
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.end()


def make_tokens(path, *names):
    """A token file with these names; the tokens, in their order."""
    made = [subprocess.run([MILLRACE, "token", "new", name, "--file", str(path)], capture_output=True, text=True,
                           check=True) for name in names]
    return [result.stdout.strip() for result in made]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def wait_until(is_true, timeout_s=10 * SLOWNESS, what="the condition"):
    """For what makes no event: looks again and again, and fails when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout_s} s"
        time.sleep(0.01)


def process_fields(pid):
    """What /proc says of the process behind its name: the state, and then numbers."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()


def process_exists(pid):
    """Whether it runs; one that is dead and waits to be reaped does not."""
    try:
        return process_fields(pid)[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid):
    """Its child processes, those of its first thread."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def child_called(pid, name):
    """The child process that has this name, and runs. It takes its name a moment after it was started."""
    found = []

    def look():
        for child in children_of(pid):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{child}/comm", encoding="utf-8") as file:
                if file.read() == name + "\n" and process_exists(child):
                    found.append(child)
        return found

    wait_until(look, what=f"a child called {name}")
    return found[0]


def process_cpu_s(pid):
    """Processor time the process has used."""
    fields = process_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_held_up_s(pid):
    """How long its first thread was ready to run, and others ran."""
    with open(f"/proc/{pid}/task/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9


def process_is_stuck(pid):
    """Of a worker with one run that has nothing to wait for: it sleeps nevertheless, or computes and
    computes."""
    return process_fields(pid)[0] == "S" or process_cpu_s(pid) > 0.1


def load_json(text):
    """JSON as the standard has it: no NaN, no key twice."""
    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    def pairs(items):
        result = dict(items)
        if len(result) != len(items):
            raise ValueError("a key comes twice")
        return result

    return json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)
