# SPDX-License-Identifier: MIT
"""sources - the files lints look at, and C text without its comments and strings."""

import os
import re

PRODUCT = ("include/", "shm/", "worker/", "dispatcher/")
FOLDERS = PRODUCT + ("tests/", "docs/", "deploy/")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
BLANKED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(*endings):
    """All files with one of the endings, by their path from the top."""
    return sorted(os.path.join(folder, name)
                  for top in FOLDERS for folder, _, names in os.walk(top.rstrip("/")) for name in names
                  if name.endswith(endings))


def c_files():
    return files(".c", ".h")


def text_of(name):
    with open(name, encoding="utf-8") as source:
        return source.read()


def code_of(name):
    """The text with comments and strings blanked, so that lines keep their numbers."""
    return BLANKED.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text_of(name))


def report(findings):
    """Prints `file:line: reason` for each finding; the exit status for main."""
    for name, line, reason in findings:
        print(f"{name}:{line}: {reason}")
    return 1 if findings else 0
