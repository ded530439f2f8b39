# SPDX-License-Identifier: MIT
"""Configuration files as operators meet them: each mistake has a line that says where and what."""

import json
import os
import pathlib
import re

import jsonschema
import pytest
import yaml

import wire
from confined import has_python
from conftest import public_folder
from server import TOP, example, make_tokens
from test_cli import OK, PIPELINE, TOKENS, USAGE, millrace

WORDS = "me/words:v1"

# A value for each key which is not its default; of those that are paths one that is there.
AT_THE_TOP = {
    "listen": "['127.0.0.1:0', 'localhost:0']", "token-file": "tokens", "tokens-share": "true", "no-auth": "false",
    "token-class": "['*=batch']",
    "allow-host": "", "allow-origin": "", "cors-origin": "[https://app.example]", "metrics": "token",
    "queue-total": "100", "max-connections": "100", "max-connections-per-client": "10", "body-limit": "1m",
    "input-memory": "16m", "output-memory": "16m", "head-timeout": "5s", "idle-timeout": "30s",
    "stall-timeout": "20s", "keepalive": "3s", "drain-delay": "10ms", "stop-timeout": "3s",
    "pipeline-error-status": "500", "tracebacks": "client", "crash-traceback": "true", "keep-half-closed": "true",
    "log-level": "warning", "log-runs": "failed", "log-format": "json", "log-file": "log",
    "files": "files", "file-limit": "1g", "files-total": "8g", "files-ttl": "24h",
    "fetch-allow": "[files.internal, '10.0.0.0/8']", "fetch-limit": "512m", "fetch-timeout": "1m",
    "control": "control.sock", "worker": "", "load-parallel": "2", "allow-mps": "true", "device-load-parallel": "1",
}
OF_PIPELINES = {
    "workers": "{min: 1, max: 2}", "ready-workers": "2", "idle-timeout": "1m", "concurrency": "3", "step-budget": "64",
    "batch": "", "batch-max": "8", "batch-wait": "3ms", "queue": "7", "window": "64k", "ring": "256k", "queue-timeout": "10s",
    "schedule": "fair", "tenant": "header X-Tenant", "affinity": "prefix 64", "affinity-load": "3",
    "first-chunk-timeout": "11s", "progress-timeout": "12s", "run-timeout": "2m", "quarantine-after": "4",
    "quarantine-retry": "2s", "cancel-grace": "1s", "recycle-runs": "100", "recycle-memory": "1g",
    "recycle-overlap": "true", "reload-after": "true", "start-timeout": "20s",
    "warmup": "[{type: string, value: on}]",
    "env": "[A=1, B=]", "env-file": "variables", "folder": "data",
    "worker-nofile": "512", "worker-core": "0", "worker-memory": "", "worker-data": "4g", "worker-nproc": "",
    "worker-user": "", "seccomp": "strict", "network": "none", "allow-read": "[data]", "allow-write": "none",
    "allow-connect": "[80, 443]", "python": "", "python-threads": "", "environment": "{C: '1', PATH: }",
    "devices": "{kind: cuda, index: [0, 1]}", "device-memory": "12g", "device-hold": "3s", "workers-per-device": "2", "device-unbound": "true", "preload": "import",
    "device-env": "'F={index}'",
    "device-environment": "{G: '{kind}-{uuid}'}", "on-cuda-error": "quarantine", "on-cuda-oom": "keep", "on-oom": "recycle",
}
# Each way to say an alias, of the pipeline that a whole file has.
ALIASES = [f"me/words:one: {WORDS}", f"me/words:two: {{{WORDS}: 90}}",
           f"me/words:three: {{to: {WORDS}, sticky: token}}",
           f"me/words:four: {{to: {{{WORDS}: 0, {WORDS}-b: 1}}, sticky: header X-User}}"]
# What no such value fits; all others take any text.
WRONG = {"[]": ("flag", "number", "size", "time", "choice", "text"), "{a: b}": None, "": None, "maybe": (
    "flag", "number", "size", "time", "choice"), "99999999999999999999999": ("flag", "number", "size", "time", "choice")}


def schema():
    return json.loads(millrace("config", "schema").stdout)


def kind_of(described):
    text = json.dumps(described)
    if described.get("type") == "boolean":
        return "flag"
    if '["string", "array"]' in text:
        return "json"
    if "items" in text:
        return "list"
    if '"type": "object"' in text or '["object"' in text:
        return "mapping"
    for kind, word in (("choice", '"enum"'), ("time", "[hH]"), ("number", '"minimum"')):
        if word in text:
            return kind
    return "text"


@pytest.fixture
def folder():
    """That workers with users of their own can read."""
    with public_folder() as name:
        path = pathlib.Path(name)
        make_tokens(path / "tokens", "alice")
        (path / "variables").write_text("D=4\n")
        (path / "data").mkdir()
        yield path


def lines_of_whole(change=lambda where, key, value: [(key, value)]):
    """The lines of a file that says everything; `change` puts others in the place of one key."""
    lines = [f"{key}: {value}" for name in AT_THE_TOP if AT_THE_TOP[name]
             for key, value in change("top", name, AT_THE_TOP[name])]
    for where, indent in (("defaults", "  "), ("pipeline", "    ")):
        lines += [f"{where}:"] if where == "defaults" else ["pipelines:", f"  {WORDS}:"]
        said = {"source": example("words.so"), **OF_PIPELINES} if where == "pipeline" else OF_PIPELINES
        lines += [f"{indent}{key}: {value}" for name in said if said[name]
                  for key, value in change(where, name, said[name])]
    return [*lines, f"  {WORDS}-b: {example('words.so')}", "aliases:", *(f"  {alias}" for alias in ALIASES)]


def check(folder, text, *options, **more):
    path = folder / "millrace.yaml"
    path.write_text(text if isinstance(text, str) else "\n".join(text) + "\n")
    return millrace("check", "-c", str(path), *options, **more)


def places(result, folder):
    """LINE, and what is said of it, of each line on stderr."""
    found = []
    for line in result.stderr.splitlines():
        match = re.fullmatch(rf"{re.escape(str(folder))}/millrace\.yaml:(\d+):(\d+): (.*)", line)
        assert match, line
        found.append((int(match[1]), match[3]))
    return found


# ---- a whole file, and each mistake in it ----------------------------------------------------------


def test_a_file_that_says_everything_is_right_and_so_is_what_it_says_to_its_schema(folder):
    described = schema()
    known = described["properties"]
    assert set(AT_THE_TOP) | {"defaults", "pipelines", "aliases"} == set(known)
    assert set(OF_PIPELINES) == set(known["defaults"]["properties"])
    assert set(OF_PIPELINES) | {"source"} == set(described["definitions"]["pipeline"]["properties"])
    result = check(folder, lines_of_whole())
    assert (result.returncode, result.stderr) == (OK, ""), result
    assert result.stdout == f"{folder}/millrace.yaml: 2 pipelines, 2 to 4 workers, 4 aliases\n"
    jsonschema.Draft7Validator.check_schema(described)
    jsonschema.validate(yaml.safe_load((folder / "millrace.yaml").read_text()), described)


@pytest.mark.parametrize("where", ["top", "defaults", "pipeline"])
def test_each_misspelt_key_has_a_line_with_its_place_and_the_nearest_one(folder, where):
    """All of them at once."""
    keys = AT_THE_TOP if where == "top" else {**OF_PIPELINES, **({"source": "x"} if where == "pipeline" else {})}
    misspelt = {name: name[:2] + name[3:] if len(name) > 4 else name + "x" for name, value in keys.items() if value}
    lines = lines_of_whole(lambda at, key, value: [(misspelt[key] if at == where else key, value)])
    result = check(folder, lines)
    assert result.returncode == USAGE
    found = places(result, folder)
    for name, wrong in misspelt.items():
        number = next(i + 1 for i, line in enumerate(lines) if line.lstrip().startswith(wrong + ":"))
        said = f'unknown key "{wrong}" (nearest: {name})'
        assert any(at == number and said in text for at, text in found), (number, said, result.stderr)
    errors = list(jsonschema.Draft7Validator(schema()).iter_errors(yaml.safe_load("\n".join(lines))))
    assert all(any(f"'{wrong}'" in error.message for error in errors) for wrong in misspelt.values()), errors


@pytest.mark.parametrize("where", ["top", "defaults", "pipeline"])
def test_each_key_refuses_what_is_none_of_its_values_at_its_line(folder, where):
    """All keys that have such a value wrong at once."""
    properties = schema()["properties"]
    known = properties if where == "top" else properties["defaults"]["properties"]
    keys = AT_THE_TOP if where == "top" else OF_PIPELINES

    def takes(name, wrong, kinds):
        kind = kind_of(known[name])
        if name in ("environment", "device-environment") and wrong in ("", "{a: b}"):
            return False
        return not kinds or kind in kinds or (kind == "mapping" and wrong != "{a: b}")
    for wrong, kinds in WRONG.items():
        names = [name for name in keys if takes(name, wrong, kinds)]
        lines = lines_of_whole(lambda at, key, value: [(key, wrong if at == where and key in names else value)])
        # What a file that says everything leaves out is put in front.
        start = 0 if where == "top" else lines.index("defaults:") + 1
        lines[start:start] = [f"{'' if where == 'top' else '  '}{name}: {wrong}" for name in names if not keys[name]]
        result = check(folder, lines)
        assert result.returncode == USAGE, wrong
        found = dict(places(result, folder))
        for name in names:
            place = where if keys[name] or where == "top" else "defaults"
            start = {"top": 0, "defaults": lines.index("defaults:"), "pipeline": lines.index("pipelines:")}[place]
            number = start + next(i + 1 for i, line in enumerate(lines[start:]) if line.lstrip().startswith(name + ":"))
            assert number in found, (name, wrong, found)


@pytest.mark.parametrize("where", ["top", "defaults", "pipeline"])
def test_each_key_that_is_there_twice_is_refused_at_its_line(folder, where):
    for name in (AT_THE_TOP if where == "top" else {**OF_PIPELINES, "source": "x"}):
        lines = lines_of_whole(lambda at, key, value: [(key, value)] * (1 + ((at, key) == (where, name))))
        if len(lines) == len(lines_of_whole()):
            continue
        [(number, text)] = places(check(folder, lines), folder)
        assert lines[number - 1] == lines[number - 2] and f"{name} is there twice: line {number - 1} has it" in text


# The line of ALIASES, what stands in it, what is put there, what is said of it, and whether its schema knows.
ALIAS_MUTATIONS = [
    (0, "me/words:one", "me words", "is not a pointer", True), (0, "me/words:one", "me/words:two", "is there twice", False),
    (0, "me/words:one", WORDS, "the pointer of a pipeline", False), (0, WORDS, "me/words:v2", f"(nearest: {WORDS})", False),
    (0, WORDS, "me/words:two", "is an alias, too", False), (0, WORDS, "", "target has no value", True),
    (0, WORDS, "words", "'words' is not a pointer", True), (0, WORDS, f"[{WORDS}]", "it leads to one pipeline", True),
    (0, WORDS, "{}", "it leads nowhere", True), (0, WORDS, "3", "'3' is not a pointer", True),
    (1, WORDS, "me/words:v2", f'unknown alias target "me/words:v2" (nearest: {WORDS})', False),
    (1, WORDS, "words", 'unknown key "words"', True), (1, "90", "1000001", "out of range, 0 to 1000000", True),
    (1, "90", "-1", "weight -1 is not a number", True), (1, "90", "1.5", "weight 1.5 is not a number", True),
    (1, "90", "", "weight has no value", True), (1, "90", "[90]", "weight is one value", True), (1, "90", "0", "above 0", False),
    (1, "90", "99999999999999999999999", "weight 9999", True), (1, "90}", f"90, {WORDS}: 9}}", "is there twice", False),
    (2, "to:", "too:", 'unknown key "too" (nearest: to)', True), (2, "sticky:", "stcky:", "(nearest: sticky)", True),
    (2, f"to: {WORDS}, ", "", "it has no to", True), (2, "token", "tokens", "neither token nor", True),
    (2, "token", "", "sticky has no value", True), (2, "token", "[token]", "sticky is one value", True),
    (2, "token}", "token, sticky: token}", "is there twice", False), (2, "token", "1", "sticky '1'", True),
    (3, "header X-User", "header", "neither token nor", True), (3, "header X-User", "header X/User", "neither token nor", True),
    (3, "header X-User", "headr X-User", "neither token nor", True), (3, ": 1", ": one", "weight one is not", True),
]


@pytest.mark.parametrize("number, old, new, why, is_schemas", ALIAS_MUTATIONS)
def test_each_mistake_in_an_alias_is_told_at_its_line(folder, number, old, new, why, is_schemas):
    lines = lines_of_whole()
    assert old in ALIASES[number]
    at = lines.index(f"  {ALIASES[number]}")
    lines[at] = lines[at].replace(old, new, 1)
    result = check(folder, lines)
    assert result.returncode == USAGE
    at += "me/words:two: me" in lines[at]  # the second one is the one too many
    assert why in dict(places(result, folder))[at + 1], result.stderr
    if is_schemas:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load("\n".join(lines)), schema())


@pytest.mark.parametrize("where", ["defaults", "pipeline"])
def test_each_mistake_in_the_two_numbers_of_workers_has_its_line_and_is_one_to_the_schema(folder, where):
    for wrong, line, why in (
            ("{mim: 1, max: 2}", 1, 'workers: unknown key "mim" (nearest: min)'),
            ("{min: 1, maxx: 2}", 1, 'workers: unknown key "maxx" (nearest: max)'),
            ("{min: 1}", 1, "workers has no max, like {min: 1, max: 8}"),
            ("{max: 2}", 1, "workers has no min, like {min: 1, max: 8}"),
            ("{min: 1, max: 2,\n      max: 3}", 2, "max is there twice"),
            ("{min: 1,\n      max: 257}", 2, "workers.max 257 is out of range, 0 to 256"),
            ("{min: 1,\n      max: two}", 2, "workers.max two is not a number (0 to 256)"),
            ("{min: 1,\n      max: [2]}", 2, "workers.max is one value, and not a list"),
            ("{min: 1,\n      max: }", 2, "workers.max has no value"),
            ("{min: 2, max: 1}", 1, "workers 2-1: the first is greater than the second"),
            ("0", 1, "workers 0 is never any; 0-1 is none or one")):
        lines = lines_of_whole(lambda at, key, value: [(key, wrong if (at, key) == (where, "workers") else value)])
        result = check(folder, lines)
        assert result.returncode == USAGE, (wrong, result)
        text = "\n".join(lines).split("\n")
        start = text.index("defaults:" if where == "defaults" else "pipelines:")
        number = next(i + 1 for i, said in enumerate(text) if i > start and said.lstrip().startswith("workers:"))
        assert [(number + line - 1, True)] == [(at, why in said) for at, said in places(result, folder)], result.stderr
        # Keys that are there twice are no mistake to most readers of YAML, and which is greater none to a schema.
        if "twice" not in why and "greater" not in why:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(yaml.safe_load("\n".join(lines)), schema())


# What is said of devices below a pipeline, the line and the column of the mistake, what is said of it, and whether the
# schema knows. A value of the command line's words is one to it, whatever it says.
DEVICE_MISTAKES = [
    ("devices: cudas", 1, 14, "devices cudas: it is none, auto, a kind (cuda", False),
    ("devices: opencl", 1, 14, "devices opencl: of this kind it is said how many, like opencl:x4", False),
    ("devices: vulkan:x0", 1, 14, "devices vulkan:x0: behind the x is a number from 1 to 256", False),
    ("devices: [0, 1, 1]", 1, 21, "devices 1: one device is said twice", False),
    ("devices: [cuda:0, hip:1]", 1, 23, "devices hip:1: the devices of a pipeline are of one kind", False),
    ("devices: [auto,\n      0]", 2, 7, "devices 0: only indexes and UUIDs can be several", False),
    ("devices: [[0]]", 1, 15, "devices is a value or a list of values", True),
    ("devices: {kind: gpu}", 1, 14, "devices gpu: it is none", False),
    ("devices: {kind: vulkan,\n      count: 257}", 1, 14, "devices vulkan:x257: behind the x", False),
    ("devices: {kind: vulkan,\n      cuont: 4}", 2, 7, 'devices: unknown key "cuont" (nearest: count)', True),
    ("devices: {kind: cpu,\n      per: [core]}", 2, 12, "devices: per is one value", True),
    ("devices: {kind: cuda,\n      index: {a: b}}", 2, 14, "devices: index is one value or a list of values", True),
    ("devices: {kind: cuda,\n      uuid: []}", 2, 13, "devices: uuid is one value or a list of values", False),
    ("devices: {count: 4}", 1, 14, "devices has no kind, like {kind: vulkan, count: 4}", True),
    ("devices: {kind: cuda, index: 0, count: 1}", 1, 14, "only one of count, per, index and uuid can be there", True),
    ("devices:", 1, 13, "devices has no value", True),
    ("device-environment: {A: '{idx}'}", 1, 29, "in braces it has something else than {kind}, {index}", False),
    ("device-environment: {A: }", 1, 29, "device-env A: it is not NAME=VALUE", True),
    ("workers-per-device: 257", 1, 25, "workers-per-device 257 is out of range, 1 to 256", True),
]


@pytest.mark.parametrize("said, line, column, why, is_schemas", DEVICE_MISTAKES)
def test_each_mistake_in_devices_is_told_at_its_place(folder, said, line, column, why, is_schemas):
    text = f"pipelines:\n  {WORDS}:\n    source: {example('words.so')}\n    {said}\n"
    result = check(folder, text)
    assert result.returncode == USAGE
    place, text_of_it = re.fullmatch(r"(?:millrace: serve: )?(\S+): (.*)\n", result.stderr).groups()
    assert place == f"{folder}/millrace.yaml:{3 + line}:{column}" and why in text_of_it
    if is_schemas:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text), schema())


BATCH_MISTAKES = [
    ("batch: 32", 1, 12, "batch is a mapping like {max: 32, wait: 2ms}"),
    ("batch: {max: 0}", 1, 18, "batch-max 0 is out of range, 1 to 4096"),
    ("batch: {max: 8,\n      wait: long}", 2, 13, "batch-wait long is not a time"),
    ("batch: {mx: 8}", 1, 13, 'batch: unknown key "mx" (nearest: max)'),
]


@pytest.mark.parametrize("said, line, column, why", BATCH_MISTAKES)
def test_each_mistake_in_batch_is_told_at_its_place(folder, said, line, column, why):
    text = f"pipelines:\n  {WORDS}:\n    source: {example('words.so')}\n    {said}\n"
    result = check(folder, text)
    assert result.returncode == USAGE
    place, text_of_it = re.fullmatch(r"(?:millrace: serve: )?(\S+): (.*)\n", result.stderr).groups()
    assert place == f"{folder}/millrace.yaml:{3 + line}:{column}" and why in text_of_it
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema())


@pytest.mark.parametrize("said", ["{}", "{max: 8}", "{wait: 0}", "{max: '8', wait: 20ms}"])
def test_batch_may_say_one_or_both_or_neither(folder, said):
    text = f"defaults: {{batch: {said}}}\npipelines: {{{WORDS}: {example('words.so')}}}\n"
    result = check(folder, text)
    assert (result.returncode, result.stderr) == (OK, "")
    jsonschema.validate(yaml.safe_load(text), schema())


@pytest.mark.parametrize("said", [
    "none", "auto", "cuda", "0", "[0, GPU-a]", "'0,2'", "cuda:0,2", "cpu:core", "opencl:x4", "{kind: cuda}",
    "{kind: cuda, index: 0}", "{kind: hip, index: [0, 1]}", "{kind: cuda, uuid: GPU-a}", "{kind: cuda, uuid: [GPU-a, MIG-b]}",
    "{kind: cpu, per: numa}", "{kind: level-zero, count: 2}", "{kind: auto}"])
def test_devices_are_a_value_a_list_or_a_mapping_and_so_they_are_to_the_schema(folder, said):
    text = f"pipelines:\n  {WORDS}:\n    source: {example('words.so')}\n    devices: {said}\n"
    result = check(folder, text)
    assert (result.returncode, result.stderr) == (OK, "")
    jsonschema.validate(yaml.safe_load(text), schema())


@pytest.mark.parametrize("said, why", [
    ("workers-per-device: 2", "--workers-per-device is of pipelines that have --devices, and it has none"),
    ("device-unbound: true", "--device-unbound is of pipelines that have --devices, and it has none"),
    ("device-environment: {A: b}", "--device-env is of pipelines that have --devices, and it has none"),
    ("devices: none\n    device-unbound: true", "--device-unbound is of pipelines that have --devices, and it has none"),
    ("devices: vulkan:x2\n    workers: 3", "3 workers do not fit on its 2 devices: --workers-per-device is 1"),
    ("devices: [0, 1]\n    workers: {min: 1, max: 5}\n    workers-per-device: 2",
     "5 workers do not fit on its 2 devices: --workers-per-device is 2"),
    ("devices: opencl:x64\n    workers-per-device: 5", "64 devices with 5 workers each are more than 256 workers"),
    ("devices: auto\n    environment: {CUDA_VISIBLE_DEVICES: '0'}",
     "--env CUDA_VISIBLE_DEVICES chooses devices, and --devices does, too"),
    ("devices: none\n    env: ZE_AFFINITY_MASK=0", "--env ZE_AFFINITY_MASK chooses devices, and --devices does, too")])
def test_what_does_not_agree_about_devices_is_refused(folder, said, why):
    result = check(folder, f"pipelines:\n  {WORDS}:\n    source: {example('words.so')}\n    {said}\n")
    assert result.returncode == USAGE and f"{WORDS}: {why}" in result.stderr, result


def test_a_key_of_the_other_kind_is_told_where_it_belongs(folder):
    for name, value in OF_PIPELINES.items():
        if value and name not in ("environment", "device-environment", *AT_THE_TOP):
            [(number, text)] = places(check(folder, f"# remark\n{name}: {value}\npipelines: {{{WORDS}: x.so}}"), folder)
            assert (number, text) == (2, f"{name} is said of pipelines: it belongs below defaults, or below one of them")
    for name, value in AT_THE_TOP.items():
        if value and name not in OF_PIPELINES:
            [(number, text)] = places(check(folder, f"pipelines:\n  {WORDS}:\n    source: x.so\n    {name}: {value}"), folder)
            assert number == 4
            assert text == f"pipelines.{WORDS}: {name} is said of the server: it belongs at the top of the file"


def test_all_mistakes_are_told_at_once_in_their_order(folder):
    text = f"""
defaults: {{workers: two, queue-timeout: 10}}
pipelines:
  {WORDS}: {{sorce: words.so, concurrency: 0}}
  words: words.so
listn: 1
"""
    result = check(folder, text)
    assert (result.returncode, result.stdout) == (USAGE, "")
    assert places(result, folder) == [
        (2, "defaults: workers two is not a number, or two like 1-8 (0 to 256)"),
        (2, "defaults: queue-timeout 10 is not a time like 500ms, 10s or 2m (0 to 24h)"),
        (4, f"pipelines.{WORDS}: it has no source, like source: words.so"),
        (4, f'pipelines.{WORDS}: unknown key "sorce" (nearest: source)'),
        (4, f"pipelines.{WORDS}: concurrency 0 is out of range, 1 to 4096"),
        (5, "pipelines: 'words' is not a pointer like me/words:v1"),
        (6, 'unknown key "listn" (nearest: listen)'),
    ]


# ---- files that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize("text, line, why", [
    (b"a: [1\nb: 2\n", 2, "did not find expected"), (b"a: 1\n\tb: 2\n", 2, "tab"), (b"a: *b\n", 1, "undefined alias"),
    (b"listen: x\nb: \xff\n", 2, "UTF-8"), (b"a: !!int 3\n", 1, "tags"), (b"a: 1\n---\nb: 2\n", 3, "second document"),
    (b"a: \"x\\0\"\n", 1, "NUL"), (b"- 1\n", 1, "a configuration is keys"), (b"[" * 1000000, 1, "nested more than 32 deep"), (b"\x00", 1, ""),
    (b"a: &x [1, *x]\ndefaults: *x\n", 1, ""), (b"<<: {a: 1}\n", 1, "unknown key"),
], ids=["syntax", "tab", "alias", "utf-8", "tag", "second", "nul", "list", "deep", "binary", "circle", "merge"])
def test_what_is_no_configuration_is_refused_at_its_line(folder, text, line, why):
    (folder / "millrace.yaml").write_bytes(text)
    result = millrace("check", "-c", str(folder / "millrace.yaml"))
    assert result.returncode == USAGE
    (number, said), *_ = places(result, folder)
    assert number == line and why in said


def test_a_file_that_cannot_be_read_or_is_too_large_is_named(folder):
    (folder / "large").write_text("#" * (1 << 20) + "\n")
    for path, why in ((folder / "none", "No such file or directory"), (folder, "Is a directory"),
                      (folder / "large", "it is larger than 1048576 bytes"),
                      ("/dev/zero", "it is larger than 1048576 bytes")):
        result = millrace("serve", "-c", str(path))
        assert (result.returncode, result.stderr) == (USAGE, f"{path}: {why}\n")


def test_a_file_without_pipelines_and_one_whose_pipelines_are_not_there_are_refused(folder):
    path = folder / "millrace.yaml"
    path.write_text("listen: [127.0.0.1:0]\n")
    result = millrace("serve", "-c", str(path))
    assert (result.returncode, result.stderr) == (
        USAGE, f"millrace: serve: {path} has no pipelines, and there are none beside it\n")
    path.write_text("pipelines:\n  me/a:v1: a.so\n  me/b:v1:\n    source: sub/b.so\n")
    result = millrace("serve", "-c", str(path))
    assert result.returncode == PIPELINE
    assert result.stderr.splitlines() == [
        f"millrace: serve: {path}:2:12: {folder}/./a.so: No such file or directory",
        f"millrace: serve: {path}:4:13: {folder}/sub/b.so: No such file or directory"]
    path.write_text(f"token-file: gone\npipelines: {{{WORDS}: {example('words.so')}}}\n")
    assert millrace("check", "-c", str(path)).returncode == TOKENS


# ---- what is served --------------------------------------------------------------------------------


def test_a_server_serves_what_its_file_says_and_the_command_line_goes_before_it(start, folder):
    os.symlink(example("words.so"), folder / "words.so")
    os.symlink(example("numbers.so"), folder / "numbers.so")
    path = folder / "millrace.yaml"
    path.write_text(f"""
listen: [192.0.2.1:1]    # nobody's: the command line has another
defaults: {{workers: 2}}
pipelines:
  {WORDS}: words.so
  me/numbers:v1: {{source: numbers.so, workers: 3, run-timeout: 200ms}}
""")
    server = start("--config", str(path), f"me/more:v1={example('words.so')}", "--workers", "me/numbers:v1=1")
    assert {pipeline: len(server.workers(pipeline)) for pipeline in (WORDS, "me/numbers:v1", "me/more:v1")} == {
        WORDS: 2, "me/numbers:v1": 1, "me/more:v1": 2}
    assert server.lines("me/numbers:v1", 1000, "x", 10)[-1]["error"]["type"] == "timeout"
    assert [wire.output_of(line) for line in server.lines(WORDS, "hello there")] == ["hello ", "there "]


@pytest.mark.skipif(not has_python, reason="the extension was not built: python3-dev is missing")
def test_variables_reach_the_workers_that_the_file_says(start, folder, monkeypatch):
    (folder / "env.py").write_text('''
import os
from pipeline import Pipeline, pipe

@pipe
def variables() -> dict:
    return {name: os.environ.get(name) for name in ("A", "B", "C", "D", "FROM_SERVER")}

with Pipeline() as builder:
    builder.output(variables())

env = builder.get_pipeline()
''')
    (folder / "variables").write_text("D=4\nA=file\n")
    monkeypatch.setenv("FROM_SERVER", "s")
    monkeypatch.setenv("VALUE", "v")
    (folder / "millrace.yaml").write_text("""
defaults: {environment: {B: all, FROM_SERVER: }}
pipelines:
  me/one:v1: {source: env.py, env-file: variables, environment: {A: '1 2', C: "${VALUE}"}}
  me/two:v1: env.py
""")
    server = start("-c", str(folder / "millrace.yaml"))
    assert [wire.output_of(line) for line in server.lines("me/one:v1")] == [
        {"A": "1 2", "B": "all", "C": "v", "D": "4", "FROM_SERVER": "s"}]
    assert [wire.output_of(line) for line in server.lines("me/two:v1")] == [
        {"A": None, "B": "all", "C": None, "D": None, "FROM_SERVER": "s"}]


def test_check_loads_each_pipeline_of_a_file_and_says_which_does_not(folder):
    (folder / "broken.so").write_text("no object")
    text = f"pipelines:\n  me/broken:v1: broken.so\n  {WORDS}: {example('words.so')}\n"
    assert check(folder, text).returncode == OK
    result = check(folder, text, "--load")
    assert result.returncode == PIPELINE
    assert "broken.so does not load: " in result.stderr
    assert f"{WORDS} is {example('words.so')}: pipeline my_pipeline\n  input 1 " in result.stdout


def test_options_of_one_pipeline_are_not_for_checking_a_file(folder):
    for options in (["--json"], ["--env", "A=1"], ["words.so"]):
        result = check(folder, f"pipelines: {{{WORDS}: x.so}}", *options)
        assert result.returncode == USAGE and "--config FILE has the pipelines" in result.stderr


# ---- the page --------------------------------------------------------------------------------------


def test_the_page_has_the_keys_that_the_program_prints_and_its_examples_are_right(folder):
    with open(os.path.join(TOP, "docs/configuration.md"), encoding="utf-8") as file:
        page = file.read()
    assert page.endswith("\n\n" + millrace("config", "reference").stdout)
    os.symlink(example("words.so"), folder / "words.so")
    (folder / "model.py").write_text("")
    text, aliases = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    environment = {"HF_HOME": "/hf", "PATH": "/usr/bin:/bin"}
    result = check(folder, f"pipelines: {{me/chat:v2: words.so, me/chat:v3: words.so}}\n{aliases}")
    assert (result.returncode, result.stderr) == (OK, "") and result.stdout.endswith(", 4 aliases\n")
    result = check(folder, text, environment=environment)
    assert (result.returncode, result.stderr) == (OK, "")
    wrong = text.replace("    workers: 2\n", "    workers: two\n").replace("    concurrency", "    concurency")
    said = [line for line in page.splitlines() if line.startswith("millrace.yaml:")]
    (folder / "millrace.yaml").write_text(wrong)
    assert millrace("check", "-c", "millrace.yaml", cwd=folder, environment=environment).stderr.splitlines() == said


def test_the_page_of_devices_has_words_and_mappings_that_are_right(folder):
    with open(os.path.join(TOP, "docs/devices.md"), encoding="utf-8") as file:
        page = file.read()
    (folder / "chat.py").write_text("")
    text, = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert check(folder, "defaults: {python: /usr/bin/python3}\n" + text).returncode == OK
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", page.split("\n## What is said\n")[1].split("\n\n")[0], flags=re.MULTILINE)
    said = [word.replace("…", "a") for row in rows for cell in row for word in re.findall(r"`(.+?)`", cell)][1:]
    assert len(said) > 20
    for word in said:
        quoted = word if word.startswith("{") else json.dumps(word)
        result = check(folder, f"pipelines: {{{WORDS}: {{source: {example('words.so')}, devices: {quoted}}}}}\n")
        assert (result.returncode, result.stderr) == (OK, ""), word
