# SPDX-License-Identifier: MIT
"""exposition - metrics as text, read strictly: Prometheus 0.0.4 and OpenMetrics 1.0.

Nothing is forgiven: a sample before its family's HELP and TYPE, a family in two pieces, a series twice, a
label that is not escaped, a histogram that does not add up, each fails the test.
"""

import math
import re

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)')
PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|\+Inf")
PREFIXES = ("millrace_", "process_")
UNITS = ("_seconds", "_bytes", "_ratio", "_values", "_runs")
NO_BASE_UNIT = re.compile(r"_(ms|us|ns|milliseconds|microseconds|kib|mib|kilobytes|percent)(_|$)")
# While nobody was answered, or no worker has a process or says how far its start is, or no token had a run.
EMPTY_AT_TIMES = ("millrace_responses", "millrace_worker_resident_bytes", "millrace_worker_cpu_seconds",
                  "millrace_token_runs", "millrace_pipeline_loading_ratio", "millrace_ring_used_bytes")
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Family:
    """One metric: its kind, and its samples by (end of the name, labels)."""

    def __init__(self, name, kind):
        self.name = name
        self.kind = kind
        self.samples = {}


def labels_of(text):
    pairs = PAIR.findall(text or "")
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a label comes twice: {text}"
    return tuple(sorted((name, re.sub(r"\\.", lambda found: UNESCAPED[found[0]], value)) for name, value in pairs))


def parse(body, is_open=False):
    """All families by name; those of counters are named without _total."""
    text = body.decode("utf-8")
    assert text.endswith("\n") and "\r" not in text
    lines = text.split("\n")[:-1]
    if is_open:
        assert lines.pop() == "# EOF"
    families, helped, family = {}, None, None
    for line in lines:
        if line.startswith("# HELP "):
            _, _, helped, words = line.split(" ", 3)
            assert words and "\\" not in words
            assert family is None or family.samples or family.name in EMPTY_AT_TIMES, f"{family.name} is empty"
            family = None
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped, "TYPE does not follow its HELP"
            family = begin(families, name, kind, is_open)
        else:
            assert family is not None, f"a sample before its family: {line}"
            add(family, line)
    for family in families.values():
        if family.kind == "histogram":
            check_histogram(family)
    return families


def begin(families, name, kind, is_open):
    assert kind in ("counter", "gauge", "histogram"), kind
    if not is_open:
        assert (kind == "counter") == name.endswith("_total"), name
    name = name.removesuffix("_total")
    assert name not in families, f"{name} comes twice"
    assert name.startswith(PREFIXES) and not NO_BASE_UNIT.search(name), name
    assert kind != "histogram" or name.endswith(UNITS), name
    families[name] = Family(name, kind)
    return families[name]


def add(family, line):
    match = SAMPLE.fullmatch(line)
    assert match, f"not a sample: {line}"
    name, labels, value = match.groups()
    ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[family.kind]
    assert name.startswith(family.name) and name[len(family.name):] in ends, f"{name} in {family.name}"
    assert NUMBER.fullmatch(value), line
    key = (name[len(family.name):], labels_of(labels))
    assert key not in family.samples, f"a series comes twice: {line}"
    assert family.kind == "gauge" or float(value) >= 0
    family.samples[key] = float(value)


def check_histogram(family):
    """Each series: buckets in order, the last one +Inf and the same as the count."""
    series = {}
    for (end, labels), value in family.samples.items():
        others = tuple(pair for pair in labels if pair[0] != "le")
        part = series.setdefault(others, {"_bucket": []})
        if end == "_bucket":
            part[end].append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
        else:
            part[end] = value
    for labels, part in series.items():
        bounds, counts = zip(*part["_bucket"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, (family.name, labels)
        assert list(counts) == sorted(counts), (family.name, labels)
        assert counts[-1] == part["_count"], (family.name, labels)
        assert (part["_sum"] > 0) <= (part["_count"] > 0), (family.name, labels)


def total(families, name, **labels):
    """The sum of a family's samples that have all these labels."""
    wanted = set(labels.items())
    return sum(value for (end, pairs), value in families[name].samples.items()
               if end in ("", "_total", "_count") and wanted <= set(pairs))


def check_tally(families):
    """Of each pipeline: what was accepted has ended, or was cancelled, or is queued or active."""
    accepted = families["millrace_runs_accepted"].samples
    for (_, labels), count in accepted.items():
        of = dict(labels)
        ended = total(families, "millrace_runs_ended", **of)
        now = total(families, "millrace_queue_depth", **of) + total(families, "millrace_runs_active", **of)
        cancelled = total(families, "millrace_runs_cancelled", **of)
        assert count == ended + cancelled + now, (of, count, ended, cancelled, now)
        assert total(families, "millrace_run_timeouts", **of) <= total(families, "millrace_runs_ended", end="timeout", **of)
        assert total(families, "millrace_run_duration_seconds", **of) == ended + cancelled
        assert total(families, "millrace_run_wait_seconds", **of) <= count
        assert total(families, "millrace_run_first_chunk_seconds", **of) <= total(
            families, "millrace_run_wait_seconds", **of)
