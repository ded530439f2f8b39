# SPDX-License-Identifier: MIT
"""millrace top on a terminal: what it shows at two sizes, its keys, and that it leaves the terminal as it was."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import pytest

from control_server import answering, pipeline, state, worker
from server import MILLRACE, SLOWNESS, wait_until

TIMEOUT_S = 30 * SLOWNESS
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


class Screen:
    """A terminal, as far as top uses one."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [" " * columns for _ in range(rows)]
        self.row = self.column = 0
        self.is_alternate = False
        self.frames = 0

    def take(self, text):
        for control, printed in re.findall(r"(\x1b\[[?\d;]*[A-Za-z]|[\r\n])|([^\x1b\r\n]+)", text):
            if printed:
                line = self.cells[self.row]
                assert self.column + len(printed) <= self.columns, f"a line is too wide: {printed!r}"
                self.cells[self.row] = line[:self.column] + printed + line[self.column + len(printed):]
                self.column += len(printed)
            elif control == "\x1b[H":
                self.row = self.column = 0
                self.frames += 1
            elif control == "\x1b[K":  # behind its last column the cursor stands on that
                kept = min(self.column, self.columns - 1)
                self.cells[self.row] = self.cells[self.row][:kept] + " " * (self.columns - kept)
            elif control == "\x1b[2J":
                self.cells = [" " * self.columns for _ in range(self.rows)]
            elif control == "\n":
                self.row += 1
                assert self.row < self.rows, "the screen scrolls"
            elif control == "\r":
                self.column = 0
            elif control in ("\x1b[?1049h", "\x1b[?1049l"):
                self.is_alternate = control.endswith("h")

    @property
    def lines(self):
        return [line.rstrip() for line in self.cells]


class Top:
    """millrace top on a terminal of its own, of which it is the leader."""

    def __init__(self, path, columns=80, rows=24, **environment):
        self.ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.usual = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.shown = b""
        self.screen = Screen(columns, rows)
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen([MILLRACE, "top", "--control", path], stdin=theirs, stdout=theirs,
                                        stderr=subprocess.PIPE, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env={**clean, "TERM": "xterm", **environment})
        os.set_blocking(self.ours, False)

    def resize(self, columns, rows):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = Screen(columns, rows)

    def look(self):
        """Takes what was written since. In pieces that end with a frame's last line, as they are written."""
        with contextlib.suppress(BlockingIOError, OSError):
            while True:
                piece = os.read(self.ours, 65536)
                self.shown += piece
                if self.screen:
                    self.screen.take(piece.decode())
        return self.screen.lines if self.screen else []

    def wait(self, text, is_there=True):
        wait_until(lambda: (text in "\n".join(self.look())) == is_there, timeout_s=TIMEOUT_S, what=f"{text!r} on the screen")

    def press(self, keys):
        os.write(self.ours, keys)

    def end(self):
        """Its exit code, after what it has written last."""
        code = self.process.wait(TIMEOUT_S)
        self.look()
        return code

    def is_restored(self):
        left = self.shown.rsplit(ENTER, 1)[-1]
        return LEAVE in left and b"\x1b[?25h" in left and b"\x1b[?7h" in left and \
            termios.tcgetattr(self.theirs) == self.usual

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def busy(tmp_path):
    """A server with thirty pipelines, which have more runs each time it is asked."""
    asked = []

    def answer(body):
        asked.append(time.monotonic())
        count = 100 * len(asked)
        # When it began is worked out from two clocks.
        names = [*range(29), "which-have-a-name-that-is-too-long"]
        return state(*(pipeline(f"me/words-{name}:v1", [worker(0)], completed=count, lines=10 * count) for name in names),
                     runs=len(asked), lines=count, started_at=1700000000 + len(asked) / 1000)

    with answering(tmp_path, {"/control/state": answer}) as control:
        control.asked = asked
        yield control


@pytest.fixture
def opened(request):
    tops = []

    def begin(*arguments, **more):
        tops.append(Top(*arguments, **more))
        return tops[-1]

    yield begin
    for top in tops:
        top.close()


@pytest.mark.parametrize("columns, rows", [(80, 24), (200, 50)])
def test_top_shows_a_screen_each_second(busy, opened, columns, rows):
    top = opened(busy.path, columns, rows)
    top.wait("RUNS/S")
    top.wait("3 runs")
    lines = top.look()
    assert lines[0].startswith("millrace 0.1.0, up ")
    assert lines[3].startswith("PIPELINE") and lines[3].endswith("FAIL/S") and lines[4].endswith(" 0")
    assert columns > 80 or len(lines[3]) == 80, "whole lines are tried, too"
    assert lines[rows - 1].startswith("q quit")
    assert lines[4].startswith("me/words-0:v1") and re.search(r" (9\d|100)\.?\d* ", lines[4]), lines[4]
    assert lines[5].startswith("  0 ")
    assert len(busy.connections) == 1, "one kept connection"
    gaps = [after - before for before, after in zip(busy.asked, busy.asked[1:])]
    assert all(0.9 < gap < 3 * SLOWNESS for gap in gaps), gaps
    assert top.shown.count(b"\x1b[2J") == 1, "no frame clears the screen"
    top.press(b"q")
    assert top.end() == 0 and top.is_restored()


def test_each_frame_is_one_write(busy, opened, tmp_path):
    trace = tmp_path / "trace"
    top = opened(busy.path)
    top.wait("RUNS/S")
    with subprocess.Popen(["strace", "-e", "trace=write", "-o", str(trace), "-p", str(top.process.pid)],
                          stderr=subprocess.DEVNULL) as strace:
        wait_until(lambda: top.look() and trace.exists() and trace.read_text().count("\n") >= 2, timeout_s=TIMEOUT_S)
        strace.send_signal(signal.SIGINT)
    writes = [line for line in trace.read_text().splitlines() if line.startswith("write(1,")]
    assert writes and all(line.startswith(r'write(1, "\33[H') for line in writes), writes


def test_keys_scroll_pause_and_hide_workers(busy, opened):
    top = opened(busy.path)
    top.wait("up/down scroll: 1-19 of 60")
    top.press(b"\x1b[B")
    top.wait("2-20 of 60")
    top.press(b"j")
    top.wait("3-21 of 60")
    top.press(b"\x1bOA")
    top.wait("2-20 of 60")
    top.press(b"\x1b[6~")
    top.wait("14-32 of 60")
    top.press(b"w")
    top.wait("12-30 of 30")
    assert not any(line.startswith("  0 ") for line in top.look())
    top.press(b"p")
    top.wait("paused: p goes on")
    count = len(busy.asked)
    time.sleep(1.5)
    assert len(busy.asked) == count, "a paused one asks nothing"
    top.press(b" ")
    top.wait("paused: p goes on", is_there=False)
    wait_until(lambda: len(busy.asked) > count, timeout_s=TIMEOUT_S)
    top.press(b"\x1b")  # alone it is no key
    top.press(b"q")
    assert top.end() == 0 and top.is_restored()


def test_the_size_may_change(busy, opened):
    top = opened(busy.path)
    top.wait("1-19 of 60")
    top.look()
    top.resize(100, 10)
    top.process.send_signal(signal.SIGWINCH)
    top.wait("1-5 of 60")
    assert top.look()[9].startswith("q quit")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_gives_the_terminal_back_before_it_ends_it(busy, opened, name):
    top = opened(busy.path)
    top.wait("RUNS/S")
    top.process.send_signal(getattr(signal, name))
    assert top.end() == -getattr(signal, name)
    assert top.is_restored()


def test_control_c_gives_the_terminal_back(busy, opened):
    top = opened(busy.path)
    top.wait("RUNS/S")
    top.press(b"\x03")
    assert top.end() == -signal.SIGINT and top.is_restored()


def test_it_can_be_stopped_and_goes_on(busy, opened):
    top = opened(busy.path)
    top.wait("RUNS/S")
    # The pty's leader is of no other process's session: nobody would stop it for the key.
    top.process.send_signal(signal.SIGTSTP)
    wait_until(lambda: os.waitid(os.P_PID, top.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT), timeout_s=TIMEOUT_S)
    top.look()
    assert top.is_restored()
    count = len(busy.asked)
    top.process.send_signal(signal.SIGCONT)
    wait_until(lambda: len(busy.asked) > count + 1 and top.look(), timeout_s=TIMEOUT_S)
    assert top.screen.is_alternate and not top.is_restored()
    top.press(b"q")
    assert top.end() == 0 and top.is_restored()


def test_a_server_that_has_gone_is_said_and_asked_again(tmp_path, opened):
    with answering(tmp_path, {"/control/state": state(pipeline())}) as control:
        top = opened(control.path)
        top.wait("RUNS/S")
        control.routes["/control/state"] = (500, {"detail": "not now\x1b[2J"})
        top.wait("no answer, tried again: not now?[2J")
        assert "me/words:v1" in "\n".join(top.look()), "what was known stays"
        control.routes["/control/state"] = state(pipeline(), pid=1, connections=77)
        top.wait("77 connections")
        top.wait("no answer", is_there=False)
    top.press(b"q")
    assert top.end() == 0 and top.is_restored()


def test_keys_do_not_wait_for_a_server_that_does_not_answer(tmp_path, opened):
    asked = []

    def answer(body):
        asked.append(0)
        if len(asked) > 1:
            time.sleep(8)
        return state(pipeline())

    with answering(tmp_path, {"/control/state": answer}) as control:
        top = opened(control.path)
        wait_until(lambda: len(asked) > 1, timeout_s=TIMEOUT_S)
        begin = time.monotonic()
        top.press(b"q")
        assert top.end() == 0 and top.is_restored()
        assert time.monotonic() - begin < 4 * SLOWNESS


def test_without_a_server_there_is_no_screen(tmp_path, opened):
    top = opened(str(tmp_path / "nowhere"))
    assert top.end() == 8
    assert top.shown == b"" and b"top: no server answers at" in top.process.stderr.read()


def test_color_is_only_where_it_is_wanted(busy, opened):
    top, plain = opened(busy.path), opened(busy.path, NO_COLOR="1")
    top.wait("RUNS/S")
    plain.wait("RUNS/S")
    assert b"\x1b[7m" in top.shown
    assert not re.search(rb"\x1b\[[\d;]*m", plain.shown)


@pytest.mark.parametrize("terminal", [None, "dumb", ""])
def test_without_a_terminal_it_is_one_frame_of_text(busy, opened, terminal):
    if terminal is None:
        result = subprocess.run([MILLRACE, "top", "--control", busy.path], capture_output=True, text=True,
                                timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, check=True)
        text = result.stdout
    else:
        top = opened(busy.path, TERM=terminal)
        top.screen = None  # it is none that could be drawn over
        assert top.end() == 0
        text = top.shown.decode().replace("\r\n", "\n")
    assert "\x1b" not in text and text.count("\n  0   ready ") == 30
    assert max(map(len, text.splitlines())) <= 80
    assert len(busy.asked) == 2, "a rate takes two moments"


def test_once_and_json_print_and_leave(busy, opened):
    result = subprocess.run([MILLRACE, "top", "--json", "--control", busy.path], capture_output=True, text=True,
                            timeout=TIMEOUT_S, check=True)
    assert result.stdout.count("\n") == 1 and result.stdout.startswith('{"server"')
    top = opened(busy.path, 120, 10)
    top.wait("RUNS/S")
    result = subprocess.run([MILLRACE, "top", "--once", "--control", busy.path], capture_output=True, text=True,
                            timeout=TIMEOUT_S, check=True)
    assert result.stdout.count("\n  0   ready ") == 30


class Tmux:
    """A shell in a window of this size."""

    def __init__(self, folder, columns, rows, *shell):
        self.socket = str(folder / "tmux")
        self.ask("new-session", "-d", "-s", "one", "-x", str(columns), "-y", str(rows), *shell)

    def ask(self, *arguments):
        return subprocess.run(["tmux", "-f", "/dev/null", "-S", self.socket, *arguments], capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False).stdout

    def type(self, *keys):
        self.ask("send-keys", "-t", "one", *keys)

    def shown(self):
        return [line.rstrip() for line in self.ask("capture-pane", "-p", "-t", "one").splitlines()]

    def wait(self, pattern):
        wait_until(lambda: re.search(pattern, "\n".join(self.shown()), flags=re.MULTILINE), timeout_s=TIMEOUT_S,
                   what=f"{pattern!r} in the window")


@pytest.fixture
def window(tmp_path):
    opened = []

    def begin(*arguments):
        opened.append(Tmux(tmp_path, *arguments))
        return opened[-1]

    yield begin
    for one in opened:
        one.ask("kill-server")


@pytest.mark.parametrize("columns, rows", [(80, 24), (200, 50)])
def test_in_tmux_every_line_is_where_it_should_be(busy, columns, rows, window):
    tmux = window(columns, rows, "sh")
    tmux.type(f"echo before; {MILLRACE} top --control {busy.path}; echo behind=$?", "Enter")
    tmux.wait(", 3 runs")
    lines = tmux.shown()
    assert lines[0].startswith("millrace 0.1.0, up ") and lines[3].startswith("PIPELINE")
    assert lines[3].endswith("FAIL/S") and lines[rows - 1].startswith("q quit")
    assert re.fullmatch(r"me/words-0:v1 +ready +\S+ +\S+ +1 +0 +- +- +0", lines[4]), lines[4]
    assert "before" not in "\n".join(lines)
    tmux.type("q")
    tmux.wait("behind=0$")
    assert any(line.endswith("before") for line in tmux.shown()), "the screen is as it was"


def test_a_shell_can_put_it_aside_and_take_it_up(busy, window):
    tmux = window(80, 24, "bash", "--norc", "--noprofile")
    tmux.type(f"{MILLRACE} top --control {busy.path}; echo behind=$?", "Enter")
    tmux.wait("^q quit")
    tmux.type("C-z")
    tmux.wait(r"Stopped")
    assert not any(line.startswith("q quit") for line in tmux.shown())
    tmux.type("stty -a | grep -o '[^ ]*icanon'; fg", "Enter")
    tmux.wait("^q quit")
    tmux.type("C-c")  # which ends a list of commands, too
    wait_until(lambda: not any(line.startswith("q quit") for line in tmux.shown()), timeout_s=TIMEOUT_S)
    tmux.wait(r"[#$]$")
    tmux.type("echo code=$?", "Enter")
    tmux.wait("^code=130$")
    assert "icanon" in tmux.shown(), "the shell had the terminal as it is usual"
