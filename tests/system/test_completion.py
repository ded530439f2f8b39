# SPDX-License-Identifier: MIT
"""Completion in real shells: every option of every command is offered, and what its value can be."""

import contextlib
import os
import pty
import re
import select
import shlex
import subprocess
import time

import pytest

from control_server import answering, pipeline, state
from server import BUILD, MILLRACE, SLOWNESS

TIMEOUT_S = 30 * SLOWNESS


def printed(*arguments):
    return subprocess.run([MILLRACE, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


COMMANDS = [name for name in re.findall(r"^  (\w+) ", printed("--help"), flags=re.MULTILINE) if name != "help"]


def options_of(command):
    return re.findall(r"^  (?:-\w, )?(--[a-z-]+)", printed(command, "--help").split("\nOptions:\n")[1], flags=re.MULTILINE)


# ---- bash ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("bash") / "millrace"
    path.write_text(printed("completion", "bash"))
    return path


def completed(script, *lines, breaks=" \t\n\"'><=;|&(:", cwd=None):
    """What bash is offered for each line, typed to its end."""
    commands = [f"source {shlex.quote(str(script))}", f"COMP_WORDBREAKS={shlex.quote(breaks)}"]
    for line in lines:
        commands += [f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}", "_millrace",
                     "printf '%s\\n' \"${COMPREPLY[@]}\"", "echo --"]
    result = subprocess.run(["bash", "--norc", "-c", "\n".join(commands)], capture_output=True, text=True, cwd=cwd,
                            timeout=TIMEOUT_S, check=True, env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"})
    assert result.stderr == ""
    found = result.stdout.split("--\n")[:-1] if "\n--\n" in result.stdout or result.stdout.startswith("--\n") else []
    return [list(filter(None, part.split("\n"))) for part in found]


def test_bash_completes_commands(script):
    everything, some, of_help = completed(script, "millrace ", "millrace re", "millrace help t")
    assert sorted(everything) == sorted([*COMMANDS, "help", "--version", "--help"])
    assert (sorted(some), sorted(of_help)) == (["reload", "restart", "resume"], ["token", "top"])


def test_bash_offers_every_option_of_every_command(script):
    offered = completed(script, *(f"millrace {command} -" for command in COMMANDS))
    for command, options in zip(COMMANDS, offered):
        assert sorted(options) == sorted(options_of(command)), command
    assert sorted(completed(script, "millrace serve a.so --log-f")[0]) == ["--log-file", "--log-format"]


def test_bash_completes_what_an_option_can_be(script, tmp_path):
    (tmp_path / "a file.yaml").write_text("")
    (tmp_path / "folder").mkdir()
    levels = ["debug", "info", "warning", "error"]
    found = completed(script, "millrace serve --log-level ", "millrace serve --log-level=", "millrace serve --log-level=w",
                      "millrace serve -c ", "millrace serve --config=f", "millrace check a", "millrace token ",
                      "millrace config s", "millrace completion ", "millrace serve --port ", "millrace reload ", cwd=tmp_path)
    assert found == [levels, levels, ["warning"], ["a file.yaml", "folder"], ["folder"], ["a file.yaml"], ["new"],
                     ["schema"], ["bash", "zsh"], ["a file.yaml", "folder"], []]
    # Where readline does not break at =, the option is part of what it takes.
    assert completed(script, "millrace serve --log-level=w", breaks=" ") == [["--log-level=warning"]]


def test_bash_asks_a_server_for_pointers(script, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    lines = ["millrace drain ", "millrace drain me/words:", "millrace logs --pipeline me/w", "millrace logs --pipeline=me/o"]
    assert completed(script, *lines) == [[], [], [], []]
    with answering(tmp_path, {"/control/state": state(pipeline(), pipeline("me/other:v1"))}):
        assert completed(script, *lines) == [["me/other:v1", "me/words:v1"], ["v1"], ["me/words:v1"], ["me/other:v1"]]
        assert completed(script, lines[1], breaks=" ") == [["me/words:v1"]]


# ---- shells that somebody types into ---------------------------------------------------------------


class Typed:
    """A shell on a terminal."""

    def __init__(self, *words, **environment):
        self.process, self.terminal = None, None
        ours, theirs = pty.openpty()
        self.terminal = ours
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                        env={"TERM": "dumb", "LINES": "400", "COLUMNS": "200", "HOME": "/nowhere",
                                             "PATH": f"{BUILD}:{os.environ['PATH']}", **environment})
        os.close(theirs)

    def type(self, text, until):
        """What is shown from then on, up to what has this pattern."""
        shown, deadline = "", time.monotonic() + TIMEOUT_S
        os.write(self.terminal, text.encode())
        while not re.search(until, shown):
            assert time.monotonic() < deadline, f"{until!r} was not shown: {shown!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 65536).decode(errors="replace")
        return shown

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@contextlib.contextmanager
def typed(*words, **environment):
    shell = Typed(*words, **environment)
    try:
        yield shell
    finally:
        shell.end()


def test_bash_completes_what_is_typed(script):
    with typed("bash", "--norc", "--noprofile") as shell:
        shell.type("bind 'set bell-style none'; bind 'set page-completions off'; PS1='> '\n", r"\n.*> ")
        shell.type(f"source {shlex.quote(str(script))}; echo so''urced\n", r"(?s)\nsourced.*> ")
        assert "--log-level " in shell.type("millrace serve --log-le\t", "--log-level ")
        assert "warning" in shell.type("war\t", "warning ")


def test_zsh_offers_every_option_of_every_command(tmp_path):
    (tmp_path / "_millrace").write_text(printed("completion", "zsh"))
    with typed("zsh", "-f", "-i") as shell:
        shell.type("PS1='> '; unsetopt zle_bracketed_paste; LISTMAX=-1; stty rows 400 columns 200\n", r"\n.*> ")
        shell.type(f"fpath=({shlex.quote(str(tmp_path))} $fpath); autoload -U compinit; compinit -u -D; echo so''urced\n",
                   r"(?s)\nsourced.*> ")
        shown = shell.type("millrace \t\tENDED", "ENDED")
        assert all(re.search(rf"\b{command}\b", shown) for command in COMMANDS), shown
        for command in COMMANDS:
            if options_of(command) == ["--help"]:
                continue  # it is not listed, but put there
            shown = shell.type(f"\x15millrace {command} --\t\tENDED", "ENDED")
            assert [option for option in options_of(command) if f"{option} " not in shown] == [], (command, shown)
        shell.type("\x15", "")
        assert "--log-level=warning" in shell.type("millrace serve --log-level=war\t", "warning")
