# SPDX-License-Identifier: MIT
"""The command line as people meet it: what is printed where, and with which exit code."""

import json
import os
import re
import socket
import stat
import subprocess

import pytest

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
    server.wait_log(rf"^millrace: warning: --token-file {re.escape(str(path))} is open to every user of this machine \(mode 0644\)$")


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
