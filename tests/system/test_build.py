# SPDX-License-Identifier: MIT
"""The build's own promises: what is installed works, lints find what they are for, the runner counts."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VARIANT = os.path.basename(os.environ.get("BUILD", "build/release"))


def run(command, cwd=TOP, **environment):
    """The finished process. Its make is its own: not a part of the one that runs the tests."""
    clean = {name: value for name, value in os.environ.items()
             if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(command, cwd=cwd, env={**clean, **environment}, capture_output=True,
                          text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("installed")
    result = run(["make", f"VARIANT={VARIANT}", "install", f"DESTDIR={root}", "PREFIX=/opt/millrace"])
    assert result.returncode == 0, result.stdout + result.stderr
    return root


def test_install_writes_binaries_header_pkg_config_file_and_manual(installed):
    prefix = installed / "opt/millrace"
    assert os.access(prefix / "bin/millrace", os.X_OK)
    assert os.access(prefix / "libexec/millrace/millrace-worker", os.X_OK)
    assert sorted(os.listdir(prefix / "include/millrace")) == ["pipeline.h", "pipeline.hpp", "pipeline_batch.h",
                                                               "pipeline_device.h", "pipeline_engine.h", "pipeline_start.h",
                                                               "pipeline_table.h"]
    assert (prefix / "share/doc/millrace/examples/words.c").exists()
    for page in os.listdir(os.path.join(TOP, "docs/man")):
        assert (prefix / f"share/man/man{page[-1]}" / page).exists()


def serving(port):
    """The processes that serve there; of such a server, none is left."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if f"127.0.0.1:{port}".encode() in file.read().split(b"\0"):
                    found.append(int(pid))
    return found


def test_a_signal_to_the_make_of_make_serve_ends_its_server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with subprocess.Popen(["make", f"VARIANT={VARIANT}", "serve"], cwd=TOP, env={**environment, "PORT": str(port)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            seen = ""
            while "Ctrl-C here stops the server" not in seen:
                line = process.stdout.readline()
                assert line, seen
                seen += line
            assert len(serving(port)) == 1
            process.send_signal(signal.SIGTERM)
            seen = process.stdout.read()
            assert process.wait(60) != 0
            assert "the server ended with status 0" in seen, seen
            assert serving(port) == []
        finally:
            process.kill()
            for pid in serving(port):
                os.kill(pid, signal.SIGKILL)


def test_install_ships_the_types_of_the_packages_for_python(installed):
    packages = installed / "opt/millrace/lib/millrace/python"
    for package in ("pipeline", "millrace_worker"):
        assert (packages / package / "py.typed").exists()
    assert (packages / "millrace_worker/_ring.pyi").exists()


def test_an_installed_server_finds_its_worker_for_python(installed):
    if not os.path.exists(os.path.join(TOP, "build", VARIANT, "python/millrace_worker/_ring.abi3.so")):
        pytest.skip("the extension was not built: python3-dev is missing")
    found = run([str(installed / "opt/millrace/bin/millrace"), "check", "worker_graphs.py:numbers"],
                cwd=os.path.join(TOP, "tests/system/pipelines"))
    assert found.returncode == 0, found.stderr
    assert "pipeline numbers" in found.stdout


def test_an_installed_example_in_python_is_what_the_documentation_has_and_loads(installed):
    examples = installed / "opt/millrace/share/doc/millrace/examples/python"
    documented = os.listdir(os.path.join(TOP, "docs/examples/python"))
    assert sorted(os.listdir(examples)) == sorted(name for name in documented if name.endswith((".py", ".md", ".yaml")))
    if not os.path.exists(os.path.join(TOP, "build", VARIANT, "python/millrace_worker/_ring.abi3.so")):
        pytest.skip("the extension was not built: python3-dev is missing")
    found = run([str(installed / "opt/millrace/bin/millrace"), "check", "my_module.py:my_pipeline"], cwd=examples)
    assert found.returncode == 0, found.stderr
    assert "pipeline my_pipeline" in found.stdout


def test_an_example_compiles_with_nothing_but_the_installed_header(installed, tmp_path):
    found = run(["pkg-config", "--cflags", "--libs", "millrace"],
                PKG_CONFIG_PATH=str(installed / "opt/millrace/lib/pkgconfig"),
                PKG_CONFIG_SYSROOT_DIR=str(installed))
    assert found.returncode == 0, found.stderr
    built = run(["cc", "-shared", "-fPIC", "words.c", "-o", str(tmp_path / "words.so"),
                 *found.stdout.split()],
                cwd=installed / "opt/millrace/share/doc/millrace/examples")
    assert built.returncode == 0, built.stderr

    checked = run([str(installed / "opt/millrace/bin/millrace"), "check", f"{tmp_path}/words.so"])
    assert checked.returncode == 0, checked.stdout + checked.stderr


# What each lint must find: the lint, a file, its text, and words of the reason.
BAD_SOURCES = [
    ("layers", "shm/ring.c", '#include "dispatcher/reactor/log.h"\n', 'shm/ring.c:1: "dispatcher/reactor/log.h"'),
    ("layers", "worker/engine/engine.c", '#include "dispatcher/reactor/log.h"\n', "worker/engine/engine.c:1:"),
    ("layers", "worker/engine/engine.c", '#include "worker/confine/strict.h"\n', "is not for worker/engine,"),
    ("layers", "worker/confine/user.c", '#include "worker/native/options.h"\n', "is not for worker/confine,"),
    ("layers", "worker/native/main.c", '#include "worker/python/_ring.h"\n', "is not for worker/native,"),
    ("layers", "worker/stray.c", '#include "worker/engine/engine.h"\n', "worker, which sees nothing"),
    ("layers", "dispatcher/http/conn.c", '\n#include "worker/engine/engine.h"\n', "dispatcher/http/conn.c:2:"),
    ("layers", "dispatcher/http/conn.c", '#include "dispatcher/runs/run.h"\n', "is not for dispatcher/http,"),
    ("layers", "dispatcher/runs/run.c", '#include "dispatcher/http/conn.h"\n', "is not for dispatcher/runs,"),
    ("layers", "dispatcher/http/conn.c", "#include <liburing.h>\n", "wrapped by dispatcher/reactor/uring"),
    ("layers", "docs/examples/x.c", '#include "shm/ring.h"\n', "docs/examples/x.c:1:"),
    ("lengths", "shm/ring.c", "int f(void)\n{\n" + "    f();\n" * 79 + "}\n", "function has 81 lines"),
    ("lengths", "shm/ring.c", "\n" * 601, "file has 601 lines"),
    ("lengths", "shm/ring.c", f"/* {'a' * 95} */\n", "ring.c:1: the comment's line has 101 columns"),
    ("lengths", "shm/ring.c", "/* A comment that begins here.\n */\n", "ring.c:2: the comment ends alone"),
    ("names", "docs/internals/memory.md", "\n`ring_claims()`\n", "memory.md:2: `ring_claims()`: no source has this function"),
    ("names", "docs/internals/memory.md", "`ring_claims`\n", "memory.md:1: `ring_claims`: no source has this name"),
    ("names", "docs/internals/memory.md", "`shm/rings.c`\n", "memory.md:1: `shm/rings.c`: there is no such file"),
    ("names", "README.md", "`layout.c`\n", "README.md:1: `layout.c`: there is no such file"),
    ("words", "shm/ring.c", "/* SPDX-License-Identifier: MIT */\nint a = atoi(b);\n", "ring.c:2: atoi"),
    ("words", "shm/ring.c", "/* SPDX-License-Identifier: MIT */\n/* TO" "DO */\n", "finish it"),
    ("words", "shm/ring.c", "/* SPDX-License-Identifier: MIT */\nvolatile int a;\n", "atomics"),
    ("words", "shm/ring.c", "int a;\n", "first line says"),
    ("words", "shm/util.c", "/* SPDX-License-Identifier: MIT */\n", "name says nothing"),
    ("documents", "docs/x.md", "| " + "a" * 200 + "\n" + "a " * 61 + "\n", "docs/x.md:2: the line has 122 columns"),
    ("documents", "docs/x.md", "# A heading\n[a](#a-heading) [b](#another)\n", "docs/x.md:2: #another: there is no such heading"),
    ("documents", "docs/x.md", "[a](x.md)\n[b](../y.md)\n", "docs/x.md:2: ../y.md: there is no such file"),
    ("headers", "shm/ring.h", "size_t a;\n", "shm/ring.h:1: does not compile alone"),
]


@pytest.mark.parametrize("lint,name,text,reason", BAD_SOURCES)
def test_a_lint_finds_what_it_is_for(lint, name, text, reason, tmp_path):
    shutil.copytree(os.path.join(TOP, "include"), tmp_path / "include")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    result = run([os.path.join(TOP, "tests/lint", lint)], cwd=tmp_path)
    assert result.returncode == 1
    assert reason in result.stdout


# What breaks types, and what the lint says: a file, a text in it, another, words of the finding.
WORSE_TYPES = [
    ("worker/python/pipeline/objects/file.py", "def name(self) -> str:", "def name(self):",
     "Function is missing a return type annotation"),
    ("worker/python/pipeline/objects/building.py", "from typing import TYPE_CHECKING",
     "from typing import TYPE_CHECKING, ParamSpec", 'Module "typing" has no attribute "ParamSpec"'),
    ("worker/python/pipeline/objects/pipes.py", "preload: bool = ...) -> Function:",
     "preload: bool = ...) -> Any:", "mypy does not say: def (text: builtins.str, pause_s: builtins.float =)"),
    ("worker/python/pipeline/objects/stream.py", "SupportsNext[Item] | SupportsAnext[Item]", "Any",
     "mypy does not say: arg-type"),
    ("tests/types/mistakes.py", "  # wrong: operator\n", "\n", "mypy says: operator"),
    ("docs/examples/python/schema.py", "settings.seed", "settings.sead", 'has no attribute "sead"'),
]


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """A copy of what the lint of types looks at, which it has passed, and its cache."""
    top = tmp_path_factory.mktemp("typed")
    for folder in ("worker/python", "tests/types", "docs/examples/python", "share"):
        shutil.copytree(os.path.join(TOP, folder), top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    result = run([os.path.join(TOP, "tests/lint/types")], cwd=top)
    assert result.returncode == 0, result.stdout + result.stderr
    return top


@pytest.mark.parametrize("name,text,worse,finding", WORSE_TYPES)
def test_the_lint_of_types_finds_what_it_is_for(name, text, worse, finding, typed, tmp_path):
    top = shutil.copytree(typed, tmp_path / "worse")
    source = (top / name).read_text()
    assert text in source
    (top / name).write_text(source.replace(text, worse))
    result = run([os.path.join(TOP, "tests/lint/types")], cwd=top)
    assert result.returncode == 1
    assert finding in result.stdout


def test_lints_pass_over_comments_and_strings(tmp_path):
    (tmp_path / "shm").mkdir()
    (tmp_path / "shm/ring.c").write_text(
        "/* SPDX-License-Identifier: MIT */\n/* not atoi(x) */\nconst char *a = \"strcpy(b)\";\n")
    assert run([os.path.join(TOP, "tests/lint/words")], cwd=tmp_path).returncode == 0


def test_names_that_documents_use_are_found_where_they_are(tmp_path):
    (tmp_path / "shm").mkdir()
    (tmp_path / "shm/ring.c").write_text('int ring_claim(void)\n{\n    return name("millrace_rings");\n}\n')
    (tmp_path / "README.md").write_text(
        "`ring_claim()` `ring_claim` `millrace_rings_total` `ring.c` `shm/ring.c` `shm/*.{c,c}` `shm/` `AREA/ring.c`\n"
        "```\n`ring_claims()`\n```\n")
    result = run([os.path.join(TOP, "tests/lint/names")], cwd=tmp_path)
    assert result.returncode == 0, result.stdout


# What the runner makes of a program: its body, the last line, the exit status.
PROGRAMS = [
    ("exit 0", "1 passed, 0 failed", 0),
    ("exit 3", "0 passed, 1 failed", 1),
    ("kill -SEGV $$", "0 passed, 1 failed", 1),
    ("echo 'ok 1 - a'; echo 'ok 2 - b'", "2 passed, 0 failed", 0),
    ("echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1", "1 passed, 1 failed", 1),
    ("echo 'ok 1 - a'; kill -ABRT $$", "1 passed, 1 failed", 1),
    ("echo 'not ok 1 # SKIP a'", "0 passed, 0 failed", 1),
]


@pytest.mark.parametrize("body,last_line,status", PROGRAMS)
def test_the_runner_counts_what_a_program_did(body, last_line, status, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    result = run(["tests/run", str(program)])
    assert result.stdout.splitlines()[-1] == last_line
    assert result.returncode == status


HELPED = """
import os, time
def test_waits():
    deadline = time.monotonic() + 30
    while not os.path.exists({path!r}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""


def test_who_has_run_its_folder_of_tests_helps_with_another(tmp_path):
    conftest = (f"import sys; sys.path.insert(0, {os.path.join(TOP, 'tests/system')!r}); import borrowed\n"
                "pytest_runtest_protocol = borrowed.conftest().pytest_runtest_protocol\n")
    path = str(tmp_path / "helped")
    for name, text in (("long/test_1.py", HELPED.format(path=path)), ("long/test_2.py", f"def test_helps(): open({path!r}, 'x')"),
                       ("short/test_3.py", "def test_is_short(): pass"), ("long/conftest.py", conftest),
                       ("short/conftest.py", conftest)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    result = run(["tests/run", "--system", str(tmp_path / "long"), "--system", str(tmp_path / "short")])
    assert result.stdout.splitlines()[-1] == "3 passed, 0 failed", result.stdout + result.stderr
    assert result.returncode == 0
