# SPDX-License-Identifier: MIT
"""--log-file, and SIGUSR1, which opens it again: no line is lost by a rotation, and nothing waits for a file."""

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import threading
import time

import pytest

import wire
from server import MILLRACE, example, wait_until

NUMBERS = "local/numbers:v1"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) ([a-z_]+) .+")


@pytest.fixture
def logging(start, tmp_path):
    """logging(path) is a server that logs there, everything."""
    return lambda path=tmp_path / "log", **more: start(
        example("numbers.so"), options=["--log-file", str(path), "--log-level", "debug"], **more)


def events(path):
    """The events of a log, each in a line of its own."""
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    assert all(found), path.read_text()
    return [match[2] for match in found]


def wait_event(path, name, count=1):
    wait_until(lambda: path.exists() and events(path).count(name) >= count, what=f"{count} {name} in {path}")


def rotate(server, path, target):
    """As logrotate does it."""
    path.rename(target)
    server.signal(signal.SIGUSR1)


def test_the_log_is_in_the_file_and_nowhere_else(logging, tmp_path):
    path = tmp_path / "log"
    path.write_text("of another one\n")
    server = logging()
    server.run(NUMBERS, 1, "x", 0)
    server.stop()
    assert server.log == [] and server.ready_line
    said = path.read_text()
    assert said.startswith("of another one\n")
    path.write_text(said.split("\n", 1)[1])
    assert [name for name in events(path) if name in ("listening", "run_end", "stopped")] == \
        ["listening", "run_end", "stopped"]


def test_a_new_file_is_not_for_everyone(logging, tmp_path):
    logging()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o640 & ~current_umask()


def current_umask():
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"Umask:\s(\d+)", file.read())[1], 8)


@pytest.mark.parametrize("path, words", [
    ("gone/log", "No such file or directory"),
    (".", "Is a directory"),
])
def test_a_file_that_cannot_be_opened_ends_the_start(tmp_path, path, words):
    result = subprocess.run([MILLRACE, "serve", example("numbers.so"), "--listen", "127.0.0.1:0", "--log-file", path],
                            capture_output=True, text=True, timeout=20, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"millrace: --log-file {path}: {words}\n"


def test_rotations_under_load_lose_no_line(logging, tmp_path):
    path, count, rotations = tmp_path / "log", 1500, 20
    server = logging()
    done = []

    def run():
        with server.connect() as connection:
            for _ in range(count // 3):
                connection.request("POST", "/v4/runs", body)
                done.append(connection.response("POST").status)

    body = wire.run_body(NUMBERS, (1, "x", 0))
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(rotations):
        rotate(server, path, tmp_path / f"log.{number}")
        wait_event(path, "log_reopened")
    for thread in threads:
        thread.join()
    lost = server.metric("millrace_log_lines_dropped_total")
    server.stop()
    assert done == [200] * count and lost == 0
    files = [tmp_path / f"log.{number}" for number in range(rotations)] + [path]
    assert sum(events(file).count("run_end") for file in files) == count
    assert [events(file).count("log_reopened") for file in files] == [0] + [1] * rotations
    assert sum(len(events(file)) > 3 for file in files) > 3, "the rotations were over before the load"


def test_signals_in_quick_succession_end_at_the_last_file(logging, tmp_path):
    path = tmp_path / "log"
    server = logging()
    for number in range(50):
        rotate(server, path, tmp_path / f"log.{number}")
        server.signal(signal.SIGUSR1)
        with contextlib.suppress(FileExistsError):
            path.touch(exist_ok=False)

    def goes_on_there():
        """Until the last file is open, the one before it has the lines."""
        server.run(NUMBERS, 1, "x", 0)
        return path.exists() and "run_end" in events(path)
    wait_until(goes_on_there)


def test_a_file_that_cannot_be_opened_again_leaves_the_old_one_in_use(logging, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    server = logging(folder / "log")
    folder.rename(tmp_path / "moved")
    server.signal(signal.SIGUSR1)
    old = tmp_path / "moved" / "log"
    wait_event(old, "log_reopen_failed")
    assert re.search(r' error log_reopen_failed path="\S+/folder/log" error="No such file or directory"\n',
                     old.read_text())
    server.run(NUMBERS, 1, "x", 0)
    wait_event(old, "run_end")
    folder.mkdir()
    server.signal(signal.SIGUSR1)
    wait_event(folder / "log", "log_reopened")


@pytest.fixture
def on_small_disk(start, small_disk):
    """on_small_disk(kib, option...): a server that logs on a disk of that size; and its log, to be seen from here."""
    def started(kib, *options):
        command, disk, seen = small_disk(kib)
        server = start(example("numbers.so"), command=command,
                       options=["--log-file", str(disk / "log"), "--log-level", "debug", *options])
        return server, f"{seen(server.process.pid)}/log"

    return started


def test_a_full_disk_costs_lines_and_takes_them_again_when_there_is_room(on_small_disk):
    server, seen = on_small_disk(16)
    for _ in range(300):
        assert server.run(NUMBERS, 1, "x", 0).status == 200
    lost = server.metric("millrace_log_lines_dropped_total")
    assert lost > 100
    assert os.stat(seen).st_size == 16384
    os.truncate(seen, 0)
    server.run(NUMBERS, 1, "x", 0)

    def is_said():
        with open(seen, encoding="utf-8") as file:
            return re.search(r" warning log_dropped lines=(\d+)\n", file.read())
    wait_until(is_said)
    assert int(is_said()[1]) >= lost


def test_the_line_that_a_full_disk_cuts_does_not_swallow_the_next_one(on_small_disk):
    server, seen = on_small_disk(32, "--log-format", "json")
    with open(seen + ".other", "wb") as file:
        file.write(b"x" * 16384)
    while server.metric("millrace_log_lines_dropped_total") == 0:
        server.run(NUMBERS, 1, "x", 0)
    os.unlink(seen + ".other")
    server.run(NUMBERS, 1, "x", 0)

    def lines():
        with open(seen, encoding="utf-8") as file:
            return file.read().splitlines()
    wait_until(lambda: any("log_dropped" in line for line in lines()))
    assert os.stat(seen).st_size > 16384
    events = [json.loads(line)["event"] for line in lines() if line.endswith("}")]
    assert len(lines()) - len(events) <= 1 and events[-2:] == ["run_end", "log_dropped"]


def test_a_disk_that_is_always_full_does_not_stop_the_server(start):
    server = start(example("numbers.so"), options=["--log-file", "/dev/full", "--log-level", "debug"])
    for _ in range(20):
        assert server.run(NUMBERS, 1, "x", 0).status == 200
    assert server.metric("millrace_log_lines_dropped_total") > 20
    server.stop()


def read_pipe(path, until):
    """What a FIFO has, as long as it does not match."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        said = b""
        deadline = time.monotonic() + 20
        while not re.search(until, said):
            assert time.monotonic() < deadline, said[-500:]
            with contextlib.suppress(BlockingIOError):
                said += os.read(fd, 65536)
        return said.decode()
    finally:
        os.close(fd)


def fill_pipe(server):
    while server.metric("millrace_log_lines_dropped_total") == 0:
        for _ in range(200):
            server.run(NUMBERS, 0, "x", 0)


def test_a_pipe_without_a_reader_takes_what_fits_and_the_server_goes_on(logging, tmp_path):
    path = tmp_path / "log"
    os.mkfifo(path)
    server = logging()
    fill_pipe(server)
    assert server.run(NUMBERS, 1, "x", 0).status == 200
    said = read_pipe(path, rb" log_dropped lines=\d+\n")
    assert " listening " in said.split("\n", 1)[0]


def test_a_pipe_whose_reader_left_costs_lines_until_there_is_another_one(logging, tmp_path):
    path = tmp_path / "log"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = logging()
    os.close(fd)
    for _ in range(5):
        assert server.run(NUMBERS, 0, "x", 0).status == 200
    wait_until(lambda: server.metric("millrace_log_lines_dropped_total") >= 5)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server.run(NUMBERS, 0, "x", 0)
    read_pipe(path, rb" log_dropped lines=\d+\n")
    os.close(fd)


def test_a_pipe_that_nobody_reads_is_left_for_a_file(logging, tmp_path):
    """The write that waits for its reader is the file's, and no line in it is broken."""
    path = tmp_path / "log"
    os.mkfifo(path)
    server = logging()
    fill_pipe(server)
    path.rename(tmp_path / "pipe")
    server.signal(signal.SIGUSR1)
    wait_event(path, "log_dropped")
    server.run(NUMBERS, 0, "x", 0)
    server.stop()
    assert "stopped" in events(path)
    assert events(path).count("run_end") > 100


def test_without_a_file_the_signal_is_harmless(start):
    server = start(example("numbers.so"))
    server.signal(signal.SIGUSR1)
    server.wait_log(r' info signal signal=10 sender=\d+ name=SIGUSR1 reason="ignored: there is no --log-file"$')
    assert server.run(NUMBERS, 1, "x", 0).status == 200
