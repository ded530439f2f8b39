# SPDX-License-Identifier: MIT
"""The man pages, and that of operations, say what the programs do: options with limits, variables, codes, events."""

import glob
import os
import re
import subprocess

import pytest

from server import MILLRACE, TOP

COMMANDS = ["serve", "run", "init", "check", "bench", "token", "ps", "reload", "drain", "resume", "scale",
            "restart", "stop", "logs", "top", "devices", "completion"]
PAGES = sorted(os.listdir(os.path.join(TOP, "docs/man")))


def page(name):
    with open(os.path.join(TOP, "docs/man", name), encoding="utf-8") as file:
        return file.read()


def help_options(command):
    """The options that --help lists, and their text on one line."""
    text = subprocess.run([MILLRACE, command, "--help"], check=True, capture_output=True, text=True,
                          timeout=20).stdout
    items = re.split(r"^  (?:-\w, )?--", text.split("\nOptions:\n")[1], flags=re.MULTILINE)[1:]
    return {re.match(r"[a-z-]+", item)[0]: " ".join(item.split()) for item in items}


def page_options(text):
    """The options that have an item in the page, and its text on one line, without macros."""
    items = re.split(r"^\.It Fl (?:\w , )?-", text, flags=re.MULTILINE)[1:]
    result = {}
    for item in items:
        body = re.split(r"^\.(?:El|It)\b", item, flags=re.MULTILINE)[0]
        name = re.match(r"[a-z-]+", body)[0]
        assert name not in result, f"--{name} is described twice"
        result[name] = " ".join(re.sub(r"^\.\w+", "", body, flags=re.MULTILINE).split())
    return result


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_a_command_has_the_options_that_its_help_has(command):
    assert sorted(page_options(page(f"millrace-{command}.1"))) == sorted(help_options(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_a_command_has_the_limits_and_defaults_that_its_help_has(command):
    described = page_options(page(f"millrace-{command}.1"))
    for name, text in help_options(command).items():
        limits = re.search(r"\((?:(\w+ to \w+))?(?:, )?(?:default (\S+))?\)$", text)
        for words in filter(None, limits.groups() if limits else []):
            assert words in described[name], f"--{name}: the help says {words}"


def test_what_may_be_said_for_one_pipeline_is_the_same_everywhere():
    def of(options, form):
        return sorted(name for name, text in options.items() if re.match(rf"{name}(?:{form})", text))

    helped = of(help_options("serve"), r"\[=POINTER\]| \[POINTER=\]")
    text = page("millrace-serve.1")
    assert of(page_options(text), r" Ar \[POINTER=\]| Ns Op Cm = Ns Ar POINTER") == helped
    given_up = page_options(text.split(".Ss What workers give up")[1].split(".Ss ")[0])
    table = re.findall(r"^\| [a-z ]+ \| (`--.*) \|$", operations("\n### Options for one pipeline", "\n### "),
                       flags=re.MULTILINE)
    listed = re.findall(r"`--([a-z-]+)`", " ".join(table))
    assert sorted([*listed, *given_up]) == helped


def test_every_command_is_in_the_first_page_and_has_one_of_its_own():
    text = subprocess.run([MILLRACE, "--help"], check=True, capture_output=True, text=True, timeout=20).stdout
    commands = re.findall(r"^  (\w+) ", text, flags=re.MULTILINE)
    assert commands == re.findall(r"^\.It Cm (\w+)(?: Op .*)?$", page("millrace.1"), flags=re.MULTILINE)
    for command in commands:
        assert command == "help" or f"millrace-{command}.1" in PAGES


def test_the_exit_codes_of_the_page_are_those_of_the_source():
    with open(os.path.join(TOP, "dispatcher/config/exit_code.h"), encoding="utf-8") as file:
        codes = re.findall(r"EXIT_CODE_\w+ = (\d+)", file.read())
    section = page("millrace.1").split(".Sh EXIT STATUS")[1].split(".Sh")[0]
    assert re.findall(r"^\.It (\d+)", section, flags=re.MULTILINE) == codes


def operations(begin, end):
    """A part of docs/operations.md."""
    with open(os.path.join(TOP, "docs/operations.md"), encoding="utf-8") as file:
        return file.read().split(begin)[1].split(end)[0]


def test_the_exit_codes_of_workers_are_those_of_the_source():
    with open(os.path.join(TOP, "include/millrace/protocol.h"), encoding="utf-8") as file:
        codes = re.findall(r"WORKER_EXIT_\w+ = (\d+)", file.read())
    assert re.findall(r"\b\d+\b", operations("\nA worker exits with ", "Other codes")) == codes


def test_the_events_of_the_log_are_those_of_the_source():
    logged = set()
    for path in glob.glob(os.path.join(TOP, "dispatcher/*/*.c")):
        with open(path, encoding="utf-8") as file:
            logged |= set(re.findall(r'\blog_event\([^"]*"([a-z_]+)"', file.read()))
    table = re.findall(r"^\| (`.*?) \|", operations("\n## The log", "\n### "), flags=re.MULTILINE)
    assert sorted(re.findall(r"`([a-z_]+)`", " ".join(table))) == sorted(logged)


def test_the_variables_of_the_page_are_those_that_workers_get():
    with open(os.path.join(TOP, "dispatcher/reactor/child.c"), encoding="utf-8") as file:
        table = file.read().split("passed_on[] = {")[1].split("};")[0]
    section = page("millrace.1").split(".Sh ENVIRONMENT")[1].split(".Sh")[0]
    described = re.findall(r"[A-Z][A-Z_]+\*?", " ".join(re.findall(r"^\.Ev (.*)", section, flags=re.MULTILINE)))
    passed_on = sorted(re.findall(r'"(.*?)"', table))
    own = ["MILLRACE_WORKER_INDEX", *(f"MILLRACE_DEVICE_{what}" for what in ("KIND", "INDEX", "UUID"))]
    assert sorted(described) == sorted(passed_on + own)
    listed = operations("these variables, and no others:\n", "What else")
    assert sorted(re.findall(r"`(.*?)`", listed)) == passed_on


def test_every_function_of_the_header_is_in_its_page():
    header = ""
    for name in ("pipeline.h", "pipeline_batch.h", "pipeline_device.h", "pipeline_engine.h", "pipeline_start.h"):
        with open(os.path.join(TOP, "include/millrace", name), encoding="utf-8") as file:
            header += file.read()
    functions = set(re.findall(r"^static inline [^;{]*?\b(mr_[a-z0-9_]*[a-z0-9])\(", header, flags=re.MULTILINE))
    assert len(functions) > 25
    text = page("millrace_pipeline.3")
    assert [name for name in sorted(functions) if name not in text] == []


def doubles(text):
    """What a list has an item for, and another one."""
    lists, found = [], []
    for line in text.splitlines():
        if line.startswith(".Bl "):
            lists.append(set())
        elif line.startswith(".El"):
            lists.pop()
        elif line.startswith(".It ") and line in lists[-1]:
            found.append(line)
        elif line.startswith(".It "):
            lists[-1].add(line)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_no_list_of_a_page_says_something_twice(name):
    assert doubles(page(name)) == []
    assert doubles(".Bl -tag\n.It Fl -a\n.Bl -tag\n.It Fl -a\n.El\n.It Fl -a\n.El\n") == [".It Fl -a"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_mdoc_wants(name):
    result = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(TOP, "docs/man", name)], capture_output=True,
                            text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_formatted_without_warnings(name):
    result = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", os.path.join(TOP, "docs/man", name)],
                            capture_output=True, text=True, timeout=60, env={**os.environ, "MANWIDTH": "100"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "SEE ALSO" in result.stdout
