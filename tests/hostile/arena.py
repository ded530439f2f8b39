# SPDX-License-Identifier: MIT
"""arena - servers with an attacker beside its victims, as they are when nothing is said, hardened, and as root.

Everything that they load lies in a folder that every user may read, since the tree may be root's alone.
"""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile

import server as servers
import wire
from server import Server, example, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
NOBODY = 65534
EVIL, OTHER, PYTHON = "me/evil:v1", "me/other:v1", "me/python:v1"
NUMBERS, WORDS = "victim/numbers:v1", "victim/words:v1"
VICTIMS = (NUMBERS, WORDS)

HARDENED = ("--seccomp", "strict", "--network", "none", "--allow-read", "none", "--allow-write", "none")
# A user for each pipeline: they need no account.
USERS = tuple(word for index, pointer in enumerate((EVIL, OTHER, PYTHON, NUMBERS, WORDS))
              for word in ("--worker-user", f"{pointer}={64100 + index}:{64100 + index}"))
# Whose the server is, and what it is told.
SETTINGS = {"default": (NOBODY, ()), "hardened": (NOBODY, HARDENED), "users": (0, USERS), "root": (0, ())}
ALWAYS = ("--quarantine-after", "0", "--cancel-grace", "300ms", "--stop-timeout", "1s")

ANSWER_TIMEOUT_S = 10 * servers.SLOWNESS
# Longer than the longest pause before a worker is started again.
READY_TIMEOUT_S = 40 * servers.SLOWNESS

# Not one that lies where only root may look.
INTERPRETER = "/usr/bin/python3"

is_root = os.geteuid() == 0
has_python = os.path.exists(os.path.join(servers.BUILD, "python/millrace_worker/_ring.abi3.so"))


class Stage:
    """The folder of what is served: it is there as long as this is."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="millrace-hostile-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        for name in ("millrace", "millrace-worker"):
            shutil.copy(os.path.join(servers.BUILD, name), self.folder)
        if has_python:
            shutil.copytree(os.path.join(servers.BUILD, "python"), self.path("python"))
        for name in ("numbers.so", "words.so"):
            shutil.copy(example(name), self.folder)
        # Alone: beside numbers.so it would find that in place of Python's own module.
        os.mkdir(self.path("pipelines"))
        shutil.copy(os.path.join(HERE, "pipelines", "evil.py"), self.path("pipelines"))
        self._compile()

    def _compile(self):
        folder = os.path.join(HERE, "pipelines")
        sources = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".c"))
        subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                        "-I" + os.path.join(servers.TOP, "include"), "-o", self.path("evil.so"), *sources, "-lpthread"],
                       check=True, timeout=120)

    def path(self, name):
        return os.path.join(self.folder, name)

    def close(self):
        for pid in self.left_over():
            os.kill(pid, 9)
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in glob.glob("/dev/shm/evil-*"):  # of whichever users
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.unlink(path)

    def left_over(self):
        """The processes that came from here and are there still."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                program = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if program.startswith(self.folder + "/"):
                found.append(int(pid))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, setting, *options, limits=()):
        """A ready server with this setting; `limits` are of prlimit(1)."""
        uid, more = SETTINGS[setting]
        folder = tempfile.mkdtemp(prefix="server-", dir=self.folder)
        os.chmod(folder, 0o777)
        command = ["prlimit", *limits] if limits else []
        if is_root and uid != 0:
            command += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        # The copy here, in place of the program that the server would be.
        command += ["sh", "-c", 'shift && exec "$0" "$@"', self.path("millrace")]
        pipelines = [f"{EVIL}={self.path('evil.so')}", f"{OTHER}={self.path('evil.so')}",
                     f"{NUMBERS}={self.path('numbers.so')}", f"{WORDS}={self.path('words.so')}:my_pipeline"]
        if has_python:
            pipelines.append(f"{PYTHON}={self.path('pipelines/evil.py')}:evil")
        else:
            more = without_python(more)
        return Server(folder, pipelines, *ALWAYS, "--python", INTERPRETER, *more, *options, command=command, default_user=True,
                      # A strict worker cannot start what looks for leaks.
                      worker_options="detect_leaks=0").wait_ready()


class Arena:
    """One such server, attacked run by run."""

    def __init__(self, server):
        self.server = server

    def attack(self, words, pointer=EVIL, timeout_s=ANSWER_TIMEOUT_S):
        """The answer: "ok", "ok COUNT", or the name of the error; "hung" when none came."""
        with self.server.stream(pointer, words) as stream:
            stream.connection.socket.settimeout(timeout_s)
            try:
                return answer_of(stream.next())
            except TimeoutError:
                return "hung"

    def begin(self, words, pointer=EVIL, **members):
        """A stream that the attacker may never end; the caller closes it."""
        return self.server.stream(pointer, words, **members)

    def worker(self, pointer):
        [worker] = self.server.workers(pointer)
        return worker

    def pid(self, target):
        """How an attack names the target."""
        name, _, rest = target.partition("+")
        if name == "sibling":
            name = str(self.worker(OTHER)["pid"])
        return name + ("+" + rest if rest else "")

    def pids(self):
        """Of everyone but the attackers."""
        return {"server": self.server.process.pid,
                **{pointer: self.worker(pointer)["pid"] for pointer in (OTHER, *VICTIMS)}}

    def check_victims(self):
        """Whole streams, byte for byte."""
        lines = self.server.lines(NUMBERS, 20, "x" * 50, 0)
        assert [(wire.output_of(line)["i"], wire.output_of(line)["chunk"]) for line in lines] \
            == [(index, "x" * 50) for index in range(20)]

    def renew(self, pointer):
        """A new worker in place of this pipeline's, by killing it from outside."""
        self.wait_state(pointer, lambda worker: worker["state"] == "ready")
        pid = self.worker(pointer)["pid"]
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
        self.wait_state(pointer, lambda worker: worker["state"] == "ready" and worker["pid"] != pid)

    def wait_state(self, pointer, is_so):
        wait_until(lambda: is_so(self.worker(pointer)), timeout_s=READY_TIMEOUT_S, what=f"{pointer} ready")

    def wait_ready(self):
        """All are; and of the attacker it is forgotten how often it died, so that it comes back soon."""
        for pointer in (EVIL, OTHER, *VICTIMS):
            self.wait_state(pointer, lambda worker: worker["state"] == "ready" and worker["active"] == 0)
        for _ in range(2):
            self.attack("spin 0")


def landlock_needed(setting, options=()):
    """The version without which such a server does not start."""
    if "--allow-connect" in options:
        return 4
    return 3 if setting == "hardened" else 0


def without_python(options):
    """Nothing may be said of a pipeline that is not served."""
    pairs = list(zip(options[::2], options[1::2]))
    return [word for pair in pairs if not pair[1].startswith(PYTHON) for word in pair]


def answer_of(line):
    error = line["error"]
    return wire.output_of(line) if error is None else f"{error['type']}: {error['message']}"
