# SPDX-License-Identifier: MIT
"""The command line as people meet it: what is printed where, and with which exit code."""

import contextlib
import datetime
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

import server as servers
from server import AS_SERVER, MILLRACE, SLOWNESS, TOP, example

OK, FAILED, USAGE, LISTEN, PIPELINE, _, WORKER, TOKENS, CONNECT = range(9)
TIMEOUT_S = 30 * SLOWNESS


def millrace(*arguments, stdin=None, environment=None, cwd=None, text=True):
    """Runs it to its end. Bytes that are not UTF-8 need text=False."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_API_")}
    result = subprocess.run([MILLRACE, *arguments], input=stdin, capture_output=True, text=text, cwd=cwd,
                            timeout=TIMEOUT_S, env={**clean, **(environment or {})})
    if text and arguments[:1] == ("check",) and os.geteuid() == 0:
        # What is built here may lie in a folder of root's; test_own_users.py has that.
        result.stderr = re.sub(r"\Amillrace: check: loaded as root, .*\n", "", result.stderr)
    return result


@contextlib.contextmanager
def running(*arguments, **options):
    """A process that does not outlive the test, whatever happens in it."""
    with subprocess.Popen([MILLRACE, *arguments], stdout=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def says(result, code, line):
    """One line on stderr that has the text, nothing on stdout, and the exit code."""
    assert (result.returncode, result.stdout) == (code, ""), result
    assert re.fullmatch(r"millrace: [^\n]*\n", result.stderr), result.stderr
    assert line in result.stderr


# ---- help, versions, typing errors -----------------------------------------------------------------


def test_version_and_help_go_to_stdout():
    assert re.fullmatch(r"millrace \d+\.\d+\.\d+, for pipelines in C, C\+\+ and Python\n", millrace("--version").stdout)
    for arguments in (["--help"], ["-h"], ["help"]):
        result = millrace(*arguments)
        assert (result.returncode, result.stderr) == (OK, "")
        assert result.stdout.startswith("Usage: millrace COMMAND ...\n")


@pytest.mark.parametrize("command", ["serve", "check", "init", "run", "bench", "token", "ps", "reload", "drain", "resume",
                                     "scale", "restart", "stop", "logs", "top", "devices", "completion"])
def test_every_command_has_help_in_both_ways_to_ask_for_it(command):
    result = millrace(command, "--nonsense", "--help")
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout.startswith(f"Usage: millrace {command} ")
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    assert millrace("help", command).stdout == result.stdout


@pytest.mark.parametrize("arguments, line", [
    ([], "no command: serve, check, run, bench, token"),
    (["srve"], "unknown command srve (nearest: serve)"),
    (["--vresion"], "unknown option --vresion (nearest: --version)"),
    (["help", "tokne"], "unknown command tokne (nearest: token)"),
    (["serve", "a.so", "--wrokers", "2"], "serve: unknown option --wrokers (nearest: --workers)"),
    (["serve", "a.so", "--workers", "0"], "serve: --workers 0 is never any; 0-1 is none or one"),
    (["serve", "a.so", "--ring", "100k"], "serve: --ring 100k is not a power of two"),
    (["serve", "a.so", "--stall-timeout", "10"], "serve: --stall-timeout 10 is not a time like 500ms, 10s or 2m"),
    (["serve", "a.so", "--workers"], "serve: --workers needs a value (N[-MAX])"),
    (["serve"], "serve: not enough arguments"),
    (["serve", "a.so", "--listen", "nowhere"], "serve: 'nowhere' is not ADDRESS:PORT"),
    (["serve", "a.so", "a.so"], "serve: two pipelines are local/a:v1"),
    (["serve", "x=a.so"], "serve: 'x' is not a pointer like me/words:v1"),
    (["serve", "a.so", "--listen", ":0"], "serve: --listen 0.0.0.0:0 can be reached from other machines"),
    (["serve", "a.so", "--python-threads"], "serve: --python-threads is for Python pipelines, and none is served"),
    (["check"], "check: not enough arguments"),
    (["init"], "init: not enough arguments"),
    (["init", "a", "b"], "init: too many arguments at 'b'"),
    (["check", "a.so", "b.so"], "check: too many arguments at 'b.so'"),
    (["run"], "run: not enough arguments"),
    (["run", "words"], "run: 'words' is not a pointer like me/words:v1"),
    (["run", "me/words:v1", "--token", "a\nb"], "run: the token has bytes that no header can carry"),
    (["run", "me/words:v1", "--url", "ftp://x"], "run: ftp://x: "),
    (["foo"], "unknown command foo (millrace --help has them all)"),
    (["serve", "a.so", "--wrong=a=b"], "serve: unknown option --wrong (millrace serve --help has them all)"),
    (["token", "nwe", "me"], "token: unknown action nwe, it is: millrace token new NAME"),
    (["token", "new", "a b"], "token: the name 'a b' is not 1 to 64 letters, digits"),
    (["serve", "a\n\033[31m.so:x-y"], "serve: 'x-y' is not the name of a pipeline"),
])
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(arguments, line):
    says(millrace(*arguments), USAGE, line)


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "wb") as full:
        result = subprocess.run([MILLRACE, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT_S)
    assert result.returncode == FAILED
    assert result.stderr == b"millrace: cannot write to stdout: No space left on device\n"


# ---- serve: what is refused before anything starts -------------------------------------------------


def test_serve_refuses_a_source_that_is_missing_or_no_file(tmp_path):
    says(millrace("serve", "nowhere/words.so"), PIPELINE, "serve: nowhere/words.so: No such file or directory")
    says(millrace("serve", "me/folder:v1=" + str(tmp_path)), PIPELINE, "it is a folder, and has no pipeline.yaml")


def test_serve_refuses_a_worker_that_cannot_be_executed(tmp_path):
    says(millrace("serve", example("words.so"), "--worker", "nowhere"), WORKER,
         "serve: cannot execute the worker nowhere: No such file or directory")
    says(millrace("serve", example("words.so"), "--worker", str(tmp_path)), WORKER, "Permission denied")


def test_serve_refuses_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        result = millrace("serve", example("words.so"), "--listen", address)
    assert (result.returncode, result.stdout) == (LISTEN, "")
    assert address in result.stderr and "Address already in use" in result.stderr


@pytest.mark.parametrize("text, reason", [
    ("", "there is no token in it"),
    ("# nothing\n", "there is no token in it"),
    ("alice\n", "line 1: it is not NAME:SHA256"),
    ("\nalice:mr_secret\n", "line 2: this is a token, the file holds its SHA-256 in hex"),
])
def test_serve_refuses_a_token_file_that_is_none(tmp_path, text, reason):
    path = tmp_path / "tokens"
    path.write_text(text)
    result = millrace("serve", example("words.so"), "--token-file", str(path))
    says(result, TOKENS, f"--token-file {path}: {reason}")
    assert "secret" not in result.stderr


def test_serve_refuses_a_token_file_that_is_missing():
    says(millrace("serve", example("words.so"), "--token-file", "nowhere"), TOKENS, "No such file or directory")


def test_serve_refuses_an_overlap_of_what_never_happens():
    result = millrace("serve", example("numbers.so"), "--recycle-overlap")
    says(result, USAGE, "--recycle-runs or --recycle-memory says when, and neither is there")


def test_serve_refuses_more_connections_than_descriptors():
    result = subprocess.run(["sh", "-c", 'ulimit -n 500; exec "$0" "$@"', MILLRACE, "serve", example("words.so"),
                             "--max-connections", "600"], capture_output=True, text=True, timeout=TIMEOUT_S)
    says(result, USAGE, "600 connections need 684 descriptors, the limit is 500")


# ---- token -----------------------------------------------------------------------------------------


def test_a_new_token_is_printed_once_with_its_line():
    first, second = (millrace("token", "new", "alice").stdout.splitlines() for _ in range(2))
    assert re.fullmatch(r"mr_[A-Za-z0-9_-]{43}", first[0])
    assert re.fullmatch(r"alice:[0-9a-f]{64}", first[1])
    assert len(first) == 2 and first != second


def test_a_token_in_a_file_opens_the_server_and_another_does_not(tmp_path, start):
    path = tmp_path / "tokens"
    made = millrace("token", "new", "alice", "--file", str(path))
    assert (made.returncode, made.stderr) == (OK, "")
    token = made.stdout.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    server = start("me/words:v1=" + example("words.so"), options=["--token-file", str(path)])
    run = ["run", "me/words:v1", "a b", "--url", server.url]
    assert millrace(*run, "--token", token).stdout == "a \nb \n"
    assert millrace(*run, environment={"PIPELINE_API_TOKEN": token}).stdout == "a \nb \n"
    says(millrace(*run), FAILED, "status 401: Not authenticated.")
    says(millrace(*run, "--token", token + "x"), FAILED, "status 401")
    assert not [line for line in server.log if token in line]


def test_a_name_is_given_once_in_a_file(tmp_path):
    path = tmp_path / "tokens"
    assert millrace("token", "new", "alice", "--file", str(path)).returncode == OK
    before = path.read_text()
    says(millrace("token", "new", "alice", "--file", str(path)), TOKENS, "it has a token named alice already")
    assert path.read_text() == before


def test_many_tokens_at_once_are_all_in_the_file(tmp_path):
    path = tmp_path / "tokens"
    started = [subprocess.Popen([MILLRACE, "token", "new", f"n{i}", "--file", str(path)], stdout=subprocess.DEVNULL)
               for i in range(8)]
    assert [process.wait(TIMEOUT_S) for process in started] == [OK] * 8
    names = [line.split(":")[0] for line in path.read_text().splitlines()]
    assert sorted(names) == [f"n{i}" for i in range(8)]


def test_a_token_file_open_to_everyone_is_warned_of(tmp_path, start):
    path = tmp_path / "tokens"
    millrace("token", "new", "alice", "--file", str(path))
    path.chmod(0o644)
    server = start(example("words.so"), options=["--token-file", str(path)])
    assert f"millrace: warning: --token-file {path} is open to every user of this machine (mode 0644)" in server.log


# ---- check -----------------------------------------------------------------------------------------

SOURCES = {
    "variables": """
        static int f(struct mr_call *call) { return mr_value_integer(mr_return(call), 1); }
        MR_PIPELINE(one) {
            mr_variable a = mr_input(builder, MR_INTEGER, .title = "count", .default_json = "9007199254740993");
            mr_variable b = mr_input(builder, MR_STRING, .optional = true, .title = "a\\033[31m");
            mr_output(builder, mr_pipe(builder, f, MR_INTEGER, a, b));
        }
        MR_PIPELINE(two) { mr_output(builder, mr_pipe(builder, f, MR_FP)); }""",
    "missing": """
        int nowhere(void);
        static int f(struct mr_call *call) { return mr_value_integer(mr_return(call), nowhere()); }
        MR_PIPELINE(p) { mr_output(builder, mr_pipe(builder, f, MR_INTEGER)); }""",
    "crash": """
        #include <signal.h>
        MR_PIPELINE(p) { (void)builder; raise(SIGSEGV); }""",
    "leave": """
        #include <unistd.h>
        MR_PIPELINE(p) { (void)builder; _exit(3); }""",
    "hang": """
        #include <unistd.h>
        MR_PIPELINE(p) { (void)builder; for (;;) pause(); }""",
    "chatter": """
        #include <stdio.h>
        static int f(struct mr_call *call) { return mr_value_none(mr_return(call)); }
        MR_PIPELINE(p) {
            for (int i = 0; i < 5000; i++)
                printf("line %d of what is printed while it loads\\n", i);
            mr_output(builder, mr_pipe(builder, f, MR_NONE));
        }""",
    "empty": "int x;",
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """compiled("crash") is the shared object of that source."""
    folder = tmp_path_factory.mktemp("compiled")

    def build(name):
        target = folder / f"{name}.so"
        if not target.exists():
            (folder / f"{name}.c").write_text("#include <millrace/pipeline.h>\n" + SOURCES[name])
            subprocess.run(["cc", "-shared", "-fPIC", "-I" + os.path.join(TOP, "include"), "-o", str(target),
                            str(folder / f"{name}.c")], check=True, timeout=60)
        return str(target)

    return build


def test_check_prints_the_variables(compiled):
    path = compiled("variables")
    result = millrace("check", path + ":one")
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout.splitlines() == [
        f"{path}: pipeline one",
        "  input 1   integer             count  default 9007199254740993",
        "  input 2   string     optional a?[31m",
        "  output 1  integer",
    ]
    described = json.loads(millrace("check", path + ":two", "--json").stdout)
    assert described["input_variables"] == []
    assert [output["type"] for output in described["output_variables"]] == ["fp"]


def test_check_finds_sources_without_a_slash_in_this_folder(compiled):
    folder, name = os.path.split(compiled("variables"))
    assert millrace("check", name + ":one", cwd=folder).returncode == OK


@pytest.mark.parametrize("source, line", [
    ("variables", "it has several pipelines"),
    ("variables:three", "no pipeline three"),
    ("missing", "undefined symbol: nowhere"),
    ("empty", "not a millrace pipeline"),
    ("leave", "the worker exited with code 3 before it was loaded"),
])
def test_check_says_why_a_pipeline_does_not_load(compiled, source, line):
    name, _, pipeline = source.partition(":")
    says(millrace("check", compiled(name) + (":" + pipeline if pipeline else "")), PIPELINE, line)


def test_check_says_where_a_pipeline_crashed(compiled):
    environment = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"}
    result = millrace("check", compiled("crash"), environment=environment)
    assert (result.returncode, result.stdout) == (PIPELINE, "")
    first, *frames = result.stderr.splitlines()
    assert first.endswith("crash.so: the worker was killed by SIGSEGV (Segmentation fault) while it loaded")
    assert any("crash.so" in frame for frame in frames), result.stderr


def test_check_says_when_the_source_is_no_shared_object(tmp_path):
    path = tmp_path / "text.so"
    path.write_text("this is no shared object\n")
    says(millrace("check", str(path)), PIPELINE, f"{path} does not load")
    says(millrace("check", str(tmp_path)), PIPELINE, "it is a folder, and has no pipeline.yaml")
    says(millrace("check", "nowhere.so"), PIPELINE, "No such file or directory")


def test_check_ends_a_pipeline_that_does_not_come_back(compiled):
    says(millrace("check", compiled("hang"), "--timeout", "300ms"), PIPELINE, "did not load within 300 ms")


def test_check_passes_on_what_is_printed_while_loading_and_keeps_it_out_of_stdout(compiled):
    result = millrace("check", compiled("chatter"))
    assert result.returncode == OK
    assert result.stderr.splitlines() == [f"line {i} of what is printed while it loads" for i in range(5000)]
    assert result.stdout.splitlines()[1:] == ["  output 1  none"]


@pytest.mark.parametrize("limit, code, words", [
    ("--fsize=0", USAGE, "the limit on the size of files is 0 bytes (ulimit -f, LimitFSIZE=), and a worker needs "),
    ("--fsize=1000000", USAGE, "the limit on the size of files is 1000000 bytes (ulimit -f, LimitFSIZE=)"),
    ("--nofile=24", USAGE, "descriptors"),
])
def test_serve_says_which_limit_of_the_system_is_too_small(limit, code, words):
    result = subprocess.run(["prlimit", limit, MILLRACE, "serve", example("numbers.so"), "--listen", "127.0.0.1:0"],
                            capture_output=True, text=True, timeout=TIMEOUT_S)
    says(result, code, words)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user without processes, for whom the limit counts")
def test_serve_says_that_a_limit_on_processes_is_too_small():
    user = ["setpriv", "--reuid", "4329", "--regid", "4329", "--clear-groups", "prlimit", "--nproc=0"]
    result = subprocess.run([*user, MILLRACE, "serve", example("numbers.so"), "--listen", "127.0.0.1:0"],
                            capture_output=True, text=True, timeout=TIMEOUT_S,
                            # Who looks for leaks starts a process, too.
                            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    says(result, FAILED, "Resource temporarily unavailable (the limit on processes: ulimit -u, LimitNPROC=, TasksMax=)")


def test_serve_and_check_show_no_terminal_what_a_source_says_to_steer_it(tmp_path):
    path = tmp_path / "steering.py"
    path.write_text("raise RuntimeError('a\\x1b[2J\\x9b31m\\u202e\\u2028 d\\xe9j\\xe0')\n")
    for command in (["check", str(path)], ["serve", str(path), "--listen", "127.0.0.1:0", *AS_SERVER]):
        result = millrace(*command)
        assert result.returncode == PIPELINE
        assert "d\N{LATIN SMALL LETTER E WITH ACUTE}j" in result.stderr
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", result.stderr), result.stderr


# ---- run -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(start_shared):
    return start_shared("me/words:v1=" + example("words.so"), example("echo.so"), example("numbers.so")).url


def run(url, *arguments, **options):
    return millrace("run", *arguments, environment={"PIPELINE_API_URL": url}, **options)


def test_only_clients_load_libcurl_and_say_so_when_they_cannot(start_shared, url, tmp_path):
    server = start_shared(example("numbers.so"))
    with open(f"/proc/{server.process.pid}/maps", encoding="utf-8") as maps:
        assert "libcurl" not in maps.read()
    (tmp_path / "libcurl.so.4").write_bytes(b"")
    for command in (["run", "me/words:v1", "x"], ["bench", "me/words:v1", "x"]):
        result = millrace(*command, "--url", url, environment={"LD_LIBRARY_PATH": str(tmp_path)})
        says(result, FAILED, f"{command[0]}: cannot load libcurl: {tmp_path}/libcurl.so.4: file too short")


def test_run_shows_no_terminal_what_a_value_says_to_steer_it(url):
    words = [MILLRACE, "run", "local/echo:v1", '{"a":"é\\u001b[2J\\u009b\\u202e\\n"}', "--url", url]
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdout=theirs) as process:
        os.close(theirs)
        assert process.wait(timeout=TIMEOUT_S) == OK
    assert os.read(ours, 4096) == "é?[2J?????\r\n\r\n".encode()
    os.close(ours)
    assert subprocess.run(words, check=True, capture_output=True).stdout == "é\x1b[2J\x9b\u202e\n\n".encode()


def test_run_prints_strings_as_they_are_and_other_values_as_json(url):
    assert run(url, "me/words:v1", "hello there").stdout == "hello \nthere \n"
    values = '{"a":"é\\u0000\\n","b":18446744073709551615,"c":0.1,"d":[1,null,{"e":"f"}],"g":true}'
    assert run(url, "local/echo:v1", values).stdout == 'é\0\n\n18446744073709551615\n0.1\n[1,null,{"e":"f"}]\ntrue\n'


def test_run_keeps_every_digit_of_an_integer(url):
    for integer in (2**53 + 1, -(2**63), 2**64 - 1):
        assert run(url, "local/echo:v1", '{"i":%d}' % integer).stdout == f"{integer}\n"


def test_run_reads_each_input_by_its_type(url):
    result = run(url, "local/numbers:v1", "2", "7", "0")
    assert [json.loads(line)["chunk"] for line in result.stdout.splitlines()] == ["7", "7"]
    says(run(url, "local/numbers:v1", "two", "7", "0"), USAGE, "input 1: it is of type integer, which is written as JSON")
    says(run(url, "local/echo:v1", "{a}"), USAGE, "input 1: it is of type dictionary, which is written as JSON")


def test_run_reads_inputs_from_files_and_stdin(url, tmp_path):
    path = tmp_path / "value"
    path.write_text("from a file\n")
    assert run(url, "me/words:v1", f"@{path}").stdout == "from \na \nfile \n"
    assert run(url, "me/words:v1", "@-", stdin="x" * 100000 + " y").stdout == "x" * 100000 + " \ny \n"
    assert run(url, "me/words:v1", "@@home").stdout == "@home \n"
    assert run(url, "me/words:v1", "--", "--json").stdout == "--json \n"
    path.write_text('{"a":1}')
    assert run(url, "local/echo:v1", f"@{path}").stdout == "1\n"
    says(run(url, "me/words:v1", "@/nowhere"), FAILED, "input 1: /nowhere: No such file or directory")


def test_run_refuses_text_that_is_not_utf8(url):
    result = run(url, "me/words:v1", "@-", stdin=b"a\xff", text=False)
    assert (result.returncode, result.stdout) == (USAGE, b"")
    assert result.stderr == b"millrace: run: input 1: the text is not UTF-8\n"


def test_run_with_json_prints_the_lines_of_the_server(url):
    result = run(url, "me/words:v1", "a b", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["outputs"][0]["value"] for line in lines] == ["a ", "b "]
    assert len({line["id"] for line in lines}) == 1


def test_run_finds_a_pipeline_by_its_id(url):
    described = json.loads(run(url, "me/words:v1", "a", "--json").stdout)
    assert run(url, described["pipeline_id"], "a").stdout == "a \n"


def test_run_says_what_the_server_refused(url):
    says(run(url, "me/nothing:v1", "a"), FAILED, "the server answered with status 404: Pipeline not found; this server has "
         "me/words:v1")
    says(run(url, "me/words:v1"), FAILED, "input_error: ")


def test_an_interrupt_cancels_the_run(start):
    server = start(example("numbers.so"))
    with running("run", "local/numbers:v1", "1000000", "x", "10", "--url", server.url) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == -signal.SIGINT
    servers.wait_until(lambda: server.metric("millrace_runs") == 0, what="the end of the run")


def test_a_reader_that_leaves_ends_the_run(url):
    with running("run", "local/numbers:v1", "1000000", "x", "1", "--url", url, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"millrace: run: cannot write to stdout: Broken pipe\n"
        assert process.wait(TIMEOUT_S) == FAILED


def test_run_says_when_no_server_answers():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        says(millrace("run", "me/words:v1", "--url", "http://127.0.0.1:%d" % bound.getsockname()[1]), CONNECT,
             "Couldn't connect to server")


class FakeServer:
    """Answers the question for the variables, and then a run with the bytes it was given, and the question
    for that run if there is an answer to it. It takes no other connection: a run that is sent again waits
    for ever."""

    DESCRIPTION = b'{"input_variables":[]}'

    def __init__(self, answer, rest=b"", run=None):
        self.answer = answer
        self.run = [run] if run else []
        self.rest = rest
        self.go_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT_S)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.DESCRIPTION)
        for answer in (length + self.DESCRIPTION, self.answer, *self.run):
            connection = self.listener.accept()[0]
            with connection:
                connection.settimeout(TIMEOUT_S)
                self.read_request(connection)
                connection.sendall(answer)
                if answer is self.answer and self.rest and self.go_on.wait(TIMEOUT_S):
                    connection.sendall(self.rest)

    @staticmethod
    def read_request(connection):
        text = b""
        while b"\r\n\r\n" not in text:
            text += connection.recv(65536)
        head, _, body = text.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(TIMEOUT_S)
        self.listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
LINE = b'{"id":"run_1","state":"running","outputs":[{"type":"integer","value":7,"file":null}],"error":null}\n'
CHUNK = b"%x\r\n%s\r\n" % (len(LINE), LINE)
FAILED_LINE = b'{"id":"run_1","state":"failed","outputs":null,"error":null}\n'
TRAILERS = b"0\r\nMillrace-Run-State: %s\r\nMillrace-Run-Lines: %d\r\n\r\n"


@pytest.mark.parametrize("answer, code, printed, line", [
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + TRAILERS % (b"completed", 1), OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n", OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n" + CHUNK + b"0\r\n\r\n", OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK, FAILED, "7\n", "transfer closed"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK[:-20], FAILED, "", "transfer closed"),
    (HEAD + b"\r\n" + LINE, FAILED, "7\n", "nothing says that this was all"),
    (HEAD + b"Content-Length: 1000\r\n\r\n" + LINE, FAILED, "7\n", "transfer closed"),
    (HEAD + b"Content-Length: %d\r\n\r\n" % len(LINE) + LINE, OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + TRAILERS % (b"completed", 2), FAILED, "7\n",
     "1 lines came, the server counts 2"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + TRAILERS % (b"failed", 1), FAILED, "7\n",
     "the run is failed"),
    (HEAD + b"Content-Length: 9\r\n\r\n{nothing}", FAILED, "", "line 1 of the answer is no result"),
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", FAILED, "", "status 502"),
    (b"", FAILED, "", "Empty reply from server"),
    (HEAD + b"Content-Length: %d\r\n\r\n" % len(FAILED_LINE) + FAILED_LINE, FAILED, "", "the answer does not say why"),
    (b"no HTTP at all\r\n\r\n", FAILED, "", "Received HTTP/0.9"),
])
def test_a_silent_end_always_means_that_the_run_completed(answer, code, printed, line):
    with FakeServer(answer) as fake:
        result = millrace("run", "me/words:v1", "--url", fake.url)
    assert (result.returncode, result.stdout) == (code, printed), result.stderr
    assert line in result.stderr
    assert result.stderr.count("\n") == (0 if code == OK else 1)


def test_run_prints_each_line_as_it_comes():
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with FakeServer(chunked + CHUNK, CHUNK + TRAILERS % (b"completed", 2)) as fake:
        with running("run", "me/words:v1", "--url", fake.url) as process:
            assert process.stdout.readline() == b"7\n"
            fake.go_on.set()
            assert process.stdout.read() == b"7\n"
            assert process.wait(TIMEOUT_S) == OK


def test_a_failed_run_prints_its_outputs_then_its_error_and_traceback():
    error = {"type": "pipeline_error", "message": "it\nbroke \033[31m", "traceback": "one\n  two\n"}
    last = json.dumps({"state": "failed", "outputs": None, "error": error}).encode() + b"\n"
    answer = HEAD + b"Content-Length: %d\r\n\r\n" % (len(LINE) + len(last)) + LINE + last
    with FakeServer(answer) as fake:
        result = millrace("run", "me/words:v1", "--url", fake.url)
    assert (result.returncode, result.stdout) == (FAILED, "7\n")
    assert result.stderr == "millrace: run: pipeline_error: it broke ?[31m\none\n  two\n"


def test_several_outputs_of_a_line_are_separated_by_tabs():
    outputs = [{"type": "string", "value": "a", "file": None}, {"type": "none", "value": None, "file": None}]
    line = json.dumps({"outputs": outputs, "error": None}).encode() + b"\n"
    with FakeServer(HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line) as fake:
        assert millrace("run", "me/words:v1", "--url", fake.url).stdout == "a\tnull\n"


# ---- run --timing ----------------------------------------------------------------------------------


TIMES = ("run", "queued", "started", "first chunk", "ended", "worker", "attempt")


def timing_of(result):
    """The seven lines at the end of stderr, by name; times after the first one are numbers."""
    lines = [re.fullmatch(r"(.{11})  (\S.*)", line).groups() for line in result.stderr.splitlines()[-len(TIMES):]]
    assert tuple(name.rstrip() for name, _ in lines) == TIMES, result.stderr
    found = {name.rstrip(): value for name, value in lines}
    for name in ("started", "first chunk", "ended"):
        after = re.fullmatch(r"after (\d+\.\d{3}) s", found[name])
        found[name] = float(after[1]) if after else found[name]
    return found


def test_timing_is_said_on_stderr_after_the_run(url):
    plain, result = run(url, "local/numbers:v1", "3", "x", "50"), run(url, "local/numbers:v1", "3", "x", "50", "--timing")
    assert (result.returncode, result.stdout.count("\n"), result.stderr.count("\n")) == (OK, 3, len(TIMES))
    assert plain.stderr == ""
    times = timing_of(result)
    assert re.fullmatch(r"run_[0-9a-f]{32}", times["run"])
    queued = datetime.datetime.fromisoformat(times["queued"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - queued).total_seconds()) < 60
    assert 0 <= times["started"] <= times["first chunk"] <= times["ended"] - 0.1 + 0.002
    assert 0.05 - 0.002 <= times["first chunk"] and times["ended"] >= 0.15 - 0.002
    assert (times["worker"], times["attempt"]) == ("0", "1")


def test_timing_says_what_never_was_and_leaves_the_exit_code_alone(start):
    server = start(example("misbehave.so"), example("numbers.so"), options=["--concurrency", "1", "--queue", "0"])
    failed = run(server.url, "local/misbehave:v1", "fail_errno", "0", "0", "--timing")
    assert failed.returncode == FAILED and failed.stderr.startswith("millrace: run: pipeline_error: ")
    assert (timing_of(failed)["first chunk"], timing_of(failed)["worker"]) == ("never", "0")
    with server.stream("local/numbers:v1", 100000, "x", 20) as stream:
        stream.next()
        refused = timing_of(run(server.url, "local/numbers:v1", "1", "x", "0", "--timing"))
    assert (refused["started"], refused["first chunk"], refused["worker"], refused["attempt"]) == (
        "never", "never", "none", "0")
    assert refused["ended"] < 5 * SLOWNESS


def test_without_a_line_there_is_nothing_to_look_up(url):
    result = run(url, "local/numbers:v1", "0", "x", "0", "--timing")
    assert (result.returncode, result.stdout) == (OK, "")
    assert result.stderr == "millrace: run: no times: no line came that names the run\n"


@pytest.mark.parametrize("name", ["run_" + "/" * 32, "run_" + "0" * 31, "run_" + "\u001b" * 32, "x", 7, None])
def test_what_is_no_id_of_a_run_is_not_looked_up(name):
    line = json.dumps({"id": name, "outputs": [{"value": 7}], "error": None}).encode() + b"\n"
    with FakeServer(HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line) as fake:
        result = millrace("run", "me/words:v1", "--timing", "--url", fake.url)
    assert (result.returncode, result.stdout) == (OK, "7\n")
    assert result.stderr == "millrace: run: no times: no line came that names the run\n"


@pytest.mark.parametrize("status,run,said", [
    (404, b'{"detail":{"message":"Run not found"}}', "millrace: run: no times: the server answered with status 404\n"),
    (200, b"<html>", "millrace: run: no times: what the server says of the run is not JSON: "),
    (200, b"", "millrace: run: no times: what the server says of the run is not JSON: "),
    (200, b"[]", "queued       not known\nstarted      not yet\n"),
    (200, b'{"times":7,"worker":"x","attempt":{}}', "queued       not known\nstarted      not yet\n"),
    (200, b'{"times":{"queued":1e300,"started":null,"ended":2e300}}', "queued       not known\nstarted      never\n"),
    (200, b'{"times":{"queued":-1.5,"started":0}}',
     "queued       1969-12-31T23:59:58.500Z\nstarted      after 1.500 s\n"),
])
def test_whatever_the_server_says_of_the_run_is_no_harm(status, run, said):
    line = json.dumps({"id": "run_" + "0" * 32, "outputs": [{"value": 7}], "error": None}).encode() + b"\n"
    looked_up = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(run)) + run
    with FakeServer(HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line, run=looked_up) as fake:
        result = millrace("run", "me/words:v1", "--timing", "--url", fake.url)
    assert (result.returncode, result.stdout) == (OK, "7\n")
    assert said in result.stderr and "\x1b" not in result.stderr
