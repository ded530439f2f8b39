# SPDX-License-Identifier: MIT
"""What user code prints and logs ends up in the server's log, tagged and bounded, and in no response."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess

import pytest

import wire
from server import MILLRACE, example, wait_until

MISBEHAVE = "local/misbehave:v1"
CHATTY = "test/chatty:v1"
NUMBERS = "local/numbers:v1"
BLUNT = "test/blunt:v1"
LINES_PER_S = 200


@pytest.fixture
def server(start, pipelines):
    return start(example("misbehave.so"), example("numbers.so"), f"{CHATTY}={pipelines('shapes')}:chatty",
                 options=["--concurrency", "4"])


def test_prints_and_log_calls_are_log_lines_with_pipeline_worker_and_run(server):
    lines = server.lines(CHATTY, 3)
    assert [wire.output_of(line) for line in lines] == [0, 1, 2]
    run_id = lines[0]["id"]
    for level, verb in (("info", "printed"), ("warning", "complained"), ("warning", "logged")):
        for number in range(3):
            server.wait_log(rf" {level} output pipeline={CHATTY} worker=0 run={run_id} stream=\w+ "
                            rf'text="{verb} {number} of {run_id}"$')


def test_lines_of_interleaved_runs_carry_their_own_run(server):
    # Fewer than a second may have.
    streams = [server.stream(CHATTY, 12) for _ in range(4)]
    for stream in streams:
        with stream:
            assert len(stream.all()) == 12
    wait_until(lambda: len(server.log_since(0, "logged 11 of")) == 4)
    said = server.log_since(0, "(printed|complained|logged) ")
    assert len(said) == 4 * 12 * 3
    for line in said:
        match = re.search(r" run=(run_\w+) .* of (run_\w+)", line)
        assert match and match[1] == match[2], line


def test_what_goes_past_stdio_is_of_the_run_that_wrote_it(start, pipelines):
    """It comes through a pipe, where nothing says when the run that wrote it ended and the next one began."""
    server = start(f"{BLUNT}={pipelines('shapes')}:blunt")
    count = LINES_PER_S // 8
    streams = [server.stream(BLUNT) for _ in range(count)]
    ids = [stream.all()[0]["id"] for stream in streams]
    for stream in streams:
        stream.close()
    wait_until(lambda: len(server.log_since(0, " output ")) >= 2 * count)
    said = [re.search(r' run=(run_\w+) stream=(\w+) text="(.*)"$', line) for line in server.log_since(0, " output ")]
    assert all(said), server.log_since(0, " output ")
    assert [match[1] for match in said if match[2] == "stdout"] == ids
    for match in said:
        assert match[3] == f"{'blunt' if match[2] == 'stdout' else 'no end of'} {match[1]}"


def test_responses_hold_nothing_that_was_printed(server):
    for pointer, values in ((CHATTY, [50]), (MISBEHAVE, ["flood_stdout", 5, 500]), (MISBEHAVE, ["flood_descriptor", 5, 500]),
                            (MISBEHAVE, ["print_long", 2, 0]), (MISBEHAVE, ["print_from_child", 2, 0])):
        with server.stream(pointer, *values) as stream:
            text = b"\n".join(stream.raw_lines())
        for word in (b"printed", b"complained", b"logged", b"flood", b"child", b"no end"):
            assert word not in text
        assert stream.trailers["Millrace-Run-State"] == "completed"


@pytest.mark.parametrize("how", ["flood_stdout", "flood_stderr", "flood_descriptor"])
def test_a_flood_of_prints_is_bounded_and_delays_nobody(server, how):
    count = 20000
    with server.stream(NUMBERS, 100, "other", 2) as other:
        other.next()
        with server.stream(MISBEHAVE, how, 3, count) as flooding:
            assert [wire.output_of(line) for line in flooding.all()] == [0, 1, 2, 3]
        assert [wire.output_of(line)["i"] for line in other] == list(range(1, 100))

    # What was left out is counted, and said for each second of the flood.
    def told():
        logged = server.log_since(0, 'text="flood ')
        left_out = server.log_since(0, " output_suppressed ")
        return logged, sum(int(re.search(r"lines=(\d+)", line)[1]) for line in left_out)

    def all_is_told():
        logged, suppressed = told()
        return len(logged) + suppressed >= count

    wait_until(all_is_told)
    flood, suppressed = told()
    assert 'text="flood 0 of 20000"' in flood[0]
    assert len(flood) <= 10 * LINES_PER_S
    assert count <= len(flood) + suppressed <= count + 1000


def test_a_long_line_becomes_several_of_bounded_length(server):
    mark = server.log_mark()
    server.lines(MISBEHAVE, "print_long", 1, 0)
    server.wait_log(" output .* 0999 ", mark)
    pieces = [re.search(r' output .* text="(.*)"$', line)[1] for line in server.log_since(mark, " output ")]
    assert max(len(piece.encode()) for piece in pieces) <= 1024
    # Nothing is lost, and no character is cut in two.
    assert "".join(pieces) == "".join(f"{number:04d} \N{EURO SIGN} " for number in range(1000))


def test_an_unfinished_line_and_what_a_child_prints_are_heard(server):
    mark = server.log_mark()
    server.lines(MISBEHAVE, "print_from_child", 1, 0)
    server.wait_log(rf" output pipeline={MISBEHAVE} worker=0 .*a line of the child", mark)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.log_since(mark, "no end of this line")


def test_the_log_has_one_line_an_event_with_time_and_level(server):
    server.lines(CHATTY, 2)
    server.lines(MISBEHAVE, "abort", 1, 0)
    wait_until(lambda: server.log_since(0, " worker_exit "))
    for line in server.log:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) [a-z_]+( |$)", line), line


def test_a_log_that_nobody_reads_does_not_stop_the_server(start):
    """Its pipe is full; lines are lost, streams are not."""
    server = start(example("misbehave.so"), example("numbers.so"), options=["--log-level", "debug"], deaf=True)
    for _ in range(3):
        assert len(server.lines(MISBEHAVE, "flood_stdout", 1, 3000)) == 2
    for _ in range(3000):
        server.run(NUMBERS, 0, "x", 0)
    assert server.metric("millrace_log_lines_dropped_total") > 0
    assert len(server.lines(NUMBERS, 1000, "x", 0)) == 1000
    server.read_log()
    server.wait_log(" log_dropped lines=")


FILE_BYTES_MAX = 4 << 20


def limited(redirection):
    """In front of a server: files may have so many bytes, and one of its descriptors is one of them."""
    return ["prlimit", f"--fsize={FILE_BYTES_MAX}", "/bin/sh", "-c", f'exec "$0" "$@" {redirection}']


def test_a_log_at_the_limit_on_file_sizes_loses_lines_and_the_server_goes_on(start, tmp_path):
    """`ulimit -f`, LimitFSIZE=: a signal tells who writes beyond it, which by itself is deadly."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * (FILE_BYTES_MAX - 500))
    server = start(example("numbers.so"), options=["--log-level", "debug"], deaf=True, command=limited(f"2>>{log}"))
    for _ in range(20):
        assert server.run(NUMBERS, 1, "x", 0).status == 200
    wait_until(lambda: server.metric("millrace_log_lines_dropped_total") >= 10)
    assert log.stat().st_size == FILE_BYTES_MAX
    os.truncate(log, 0)
    server.run(NUMBERS, 1, "x", 0)
    wait_until(lambda: re.search(r" log_dropped lines=\d\d", log.read_text()))
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_a_ready_line_that_cannot_be_written_is_said_in_the_log_at_once(start, tmp_path):
    for redirection, words in ((">>full", "File too large"), (">/dev/full", "No space left on device")):
        (tmp_path / "full").write_bytes(b"x" * FILE_BYTES_MAX)
        server = start(example("numbers.so"), wait=False,
                       command=["env", "--chdir", str(tmp_path), *limited(redirection)])
        server.wait_log(f' error ready_not_printed error="{words}"$')
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 1
        assert server.log[-1] == "millrace: cannot write to stdout: a line was lost"


def closed(redirection):
    return ["/bin/sh", "-c", f'exec "$0" "$@" {redirection}']


def test_what_is_printed_where_stderr_is_closed_goes_nowhere_and_is_counted(start):
    """The number of a closed descriptor is that of what is opened next: the log's file, a client."""
    server = start(example("numbers.so"), command=closed("<&- 2>&-"), wait=False)
    wait_until(lambda: server.ready_line)
    server.wait_ready()
    assert [os.readlink(f"/proc/{server.process.pid}/fd/{fd}") for fd in (0, 2)] == ["/dev/null"] * 2
    for _ in range(20):
        assert server.run(NUMBERS, 1, "x", 0).status == 200
    wait_until(lambda: server.metric("millrace_log_lines_dropped_total") > 20)


def test_a_closed_stdout_is_one_that_cannot_be_written(start):
    server = start(example("numbers.so"), command=closed("<&- >&-"), wait=False).wait_listening()
    server.wait_log(' error ready_not_printed error="Bad file descriptor"$')
    result = subprocess.run([*closed(">&-"), MILLRACE, "run", NUMBERS, "1", "x", "0", "--url", server.url],
                            capture_output=True, text=True, check=False, timeout=30)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "millrace: run: cannot write to stdout: Bad file descriptor\n"
    server.stop(expected=1)


@contextlib.contextmanager
def unread(start):
    """A server whose stdout is a pipe that is full, as that of a pager can be; and the end to read it from."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * 4096)
        server = start(example("numbers.so"), wait=False, inherited=[writer], command=closed(f">/proc/self/fd/{writer}"))
        os.close(writer)
        server.wait_listening().wait_log(" pipeline_served ")
        for _ in range(3):
            assert server.run(NUMBERS, 1, "x", 0).status == 200
        yield server, reader
    finally:
        os.close(reader)


def test_a_stdout_that_is_full_holds_up_nothing_and_gets_the_ready_line_when_there_is_room(start):
    with unread(start) as (server, reader):
        assert os.read(reader, 4096) == b"x" * 4096
        assert os.read(reader, 4096).startswith(f"millrace: ready on http://{server.address} ".encode())
        server.stop()


def test_a_ready_line_that_nobody_has_read_is_lost_at_the_end(start):
    with unread(start) as (server, _):
        server.stop(expected=1)
        assert server.log[-1] == "millrace: cannot write to stdout: a line was lost"


def test_levels_below_the_one_asked_for_are_not_written(start, pipelines):
    server = start(f"{CHATTY}={pipelines('shapes')}:chatty", options=["--log-level", "warning"])
    server.lines(CHATTY, 2)
    server.wait_log("logged 1 of")
    assert all(re.search(r"Z (warning|error) ", line) for line in server.log), server.log
