# SPDX-License-Identifier: MIT
"""_needs - whether the interpreter has what a pipeline.yaml says: a version of Python, and requirements.

A requirement is looked at as far as it is the name of a package and versions of it (PEP 508, PEP 440), in the
metadata of what is installed; nothing is imported, and no other package is needed for it.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Optional

    # What orders versions: epoch, release, and what comes before and after it.
    Key = tuple[int, tuple[int, ...], tuple[int, ...], int, int]

# The package that pipelines import; there is always one, whoever installed it.
OURS = ("pipeline-ai", "millrace-pipeline")

REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)")
CLAUSE = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*([A-Za-z0-9.!+_*-]+)")
VERSION = re.compile(r"""v?(?:(?P<epoch>[0-9]+)!)?
                         (?P<release>[0-9]+(?:\.[0-9]+)*)
                         (?:[-_.]?(?P<stage>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<stage_number>[0-9]*))?
                         (?P<post>-(?P<post_short>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*))?
                         (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?
                         (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?""", re.VERBOSE | re.IGNORECASE)
STAGES = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}


class NeedsError(Exception):
    """Something that has to be installed is not."""

    def __repr__(self) -> str:
        return str(self)


def check(needs: str) -> None:
    """The first line is a version of Python, or empty, each other one a requirement. Says on stderr what is of
    another version, and on stdout what was not looked at. NeedsError names all that is missing."""
    version, *lines = needs.split("\n")
    missing, unseen = [], []
    if not is_python(version.strip()):
        print(f"pipeline.yaml: runtime.python.version is {version.strip()}, and this is Python "
              f"{sys.version.split()[0]}", file=sys.stderr)
    for line in filter(None, (line.strip() for line in lines)):
        fault = fault_of(line)
        if fault is None:
            unseen.append(line)
        elif fault == "missing":
            missing.append(line)
        elif fault:
            print(f"pipeline.yaml: runtime.python.requirements has {line}, and {fault} is installed", file=sys.stderr)
    if unseen:
        print(f"pipeline.yaml: of runtime.python.requirements not looked at: {', '.join(unseen)}")
    if missing:
        raise NeedsError(f"not installed for {sys.executable}: {', '.join(missing)} "
                         "(runtime.python.requirements of pipeline.yaml)")


def is_python(version: str) -> bool:
    """Whether this is it, as far as it is said: 3.10 is any 3.10.x."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version):
        return True
    wanted = [int(part) for part in version.split(".")][:3]
    return list(sys.version_info[:len(wanted)]) == wanted


def fault_of(line: str) -> Optional[str]:
    """"" when it is fulfilled, "missing", or the version that is installed instead. None: that cannot be told,
    as it depends on more (a marker), or is none by name (an option of pip, a URL, a path)."""
    match = REQUIREMENT.fullmatch(line)
    if match is None or ";" in line:
        return None
    name, rest = match[1], match[2].strip()
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1].strip()
    clauses = [] if not rest or rest.startswith("@") else clauses_of(rest)
    if clauses is None or name.lower().endswith((".whl", ".zip", ".gz", ".txt")):
        return None
    installed = version_of(name)
    if installed is None:
        return "" if canonical(name) in OURS else "missing"
    verdicts = [fits(installed, sign, wanted) for sign, wanted in clauses]
    if None in verdicts:
        return None
    return "" if all(verdicts) else installed


def clauses_of(text: str) -> Optional[list[tuple[str, str]]]:
    """Signs and versions; None: they are not spelled like that."""
    matches = [CLAUSE.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    return None if None in matches else [(match[1], match[2]) for match in matches if match]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def version_of(name: str) -> Optional[str]:
    """What is installed under the name, however that is spelled; None: nothing."""
    for spelling in dict.fromkeys((name, canonical(name))):
        try:
            return importlib.metadata.version(spelling)
        except importlib.metadata.PackageNotFoundError:
            pass
    return None


# ---- versions --------------------------------------------------------------------------------------


def number(text: Optional[str]) -> int:
    return int(text) if text else 0


def release_of(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in match["release"].split("."))


def key_of(match: re.Match[str]) -> Key:
    """Orders versions, without their local part. Zeros at the end of a release count for nothing."""
    release = list(release_of(match))
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    stage: tuple[int, ...] = (3, )  # none: it comes after all of them
    if match["stage"]:
        stage = STAGES[match["stage"].lower()], number(match["stage_number"])
    elif match["dev"] and not match["post"]:
        stage = (-1, )  # 1.0.dev1 comes before 1.0a1
    post = number(match["post_short"] or match["post_number"]) if match["post"] else -1
    dev = number(match["dev_number"]) if match["dev"] else sys.maxsize
    return number(match["epoch"]), tuple(release), stage, post, dev


def local_of(match: re.Match[str]) -> str:
    return re.sub(r"[-_.]", ".", (match["local"] or "").lower())


def fits(installed: str, sign: str, wanted: str) -> Optional[bool]:
    """Whether the version is one that the clause takes; None: one of the two is no version."""
    if sign == "===":
        return installed.lower() == wanted.lower()
    is_prefix = wanted.endswith(".*") and sign in ("==", "!=")
    have = VERSION.fullmatch(installed.strip())
    want = VERSION.fullmatch(wanted[:-2] if is_prefix else wanted)
    if have is None or want is None:
        return None
    if sign in ("==", "!="):
        is_same = begins(have, want, len(release_of(want))) if is_prefix else is_equal(have, want)
        return is_same == (sign == "==")
    if sign == "~=":
        count = len(release_of(want)) - 1
        return key_of(have) >= key_of(want) and begins(have, want, count) if count > 0 else None
    return fits_order(have, sign, want)


def is_equal(have: re.Match[str], want: re.Match[str]) -> bool:
    """What a clause does not say of the local part, may be anything."""
    return key_of(have) == key_of(want) and (want["local"] is None or local_of(have) == local_of(want))


def begins(have: re.Match[str], want: re.Match[str], count: int) -> bool:
    """Whether both are of one series: so many parts of the release are the same."""
    parts = list(release_of(have)[:count])
    parts += [0] * (count - len(parts))
    return number(have["epoch"]) == number(want["epoch"]) and tuple(parts) == release_of(want)[:count]


def is_early(match: re.Match[str]) -> bool:
    return bool(match["stage"] or match["dev"])


def fits_order(have: re.Match[str], sign: str, want: re.Match[str]) -> bool:
    """<1.7 takes no 1.7rc1, and >1.7 no 1.7.post1: they are of that release."""
    a, b = key_of(have), key_of(want)
    if sign in ("<=", ">="):
        return a <= b if sign == "<=" else a >= b
    is_of_release = a[:2] == b[:2]
    if sign == "<":
        return a < b and not (is_of_release and is_early(have) and not is_early(want))
    return a > b and not (is_of_release and not want["post"] and bool(have["post"]))
