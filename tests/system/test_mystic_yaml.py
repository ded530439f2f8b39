# SPDX-License-Identifier: MIT
"""A folder that was made for Mystic, with its pipeline.yaml, served as it stands."""

import json
import os
import pathlib
import re

import pytest

import wire
from confined import has_python, needs_landlock
from conftest import public_folder
from server import TOP, example
from test_cli import OK, PIPELINE, USAGE, millrace

pytestmark = pytest.mark.skipif(not has_python, reason="the extension was not built: python3-dev is missing")

MODULE = '''
from pipeline import Pipeline, pipe
from pipeline.objects.graph import Stream, Variable
from words import split

@pipe
def streamer(text: str) -> Stream:
    return Stream(iter(split(text)))

with Pipeline() as builder:
    text = Variable(str, title="text")
    builder.output(streamer(text))

my_new_pipeline = builder.get_pipeline()
'''
WHOLE = """\
runtime:
  container_commands:
    - apt-get update
  python:
    version: "3.10"
    requirements:
      - pipeline-ai
accelerators: [nvidia_a100]
accelerator_memory: null
pipeline_graph: new_pipeline:my_new_pipeline
pipeline_name: me/chat
description: null
readme: README.md
extras: {}
"""
SHOWN = ["pipeline my_new_pipeline", "  input 1   string              text", "  output 1  stream"]


@pytest.fixture
def top():
    """With the folder chat, which workers with users of their own can read."""
    with public_folder() as name:
        chat = pathlib.Path(name) / "chat"
        chat.mkdir()
        (chat / "new_pipeline.py").write_text(MODULE)
        (chat / "words.py").write_text("def split(text):\n    return text.split()\n")
        (chat / "pipeline.yaml").write_text(WHOLE)
        yield pathlib.Path(name)


def words(server, pointer):
    return [wire.output_of(line) for line in server.lines(pointer, "hello there")]


def shows(result, source):
    """check printed what it found in this source."""
    lines = result.stdout.splitlines()
    return result.returncode == OK and lines[:3] == [f"{source}: {SHOWN[0]}", *SHOWN[1:]]


# ---- what is served --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["chat", "chat/", "chat/pipeline.yaml"])
@pytest.mark.parametrize("pointer", [None, "you/other:v2"])
def test_a_folder_and_its_file_are_served_by_their_own_name_or_another(start, top, source, pointer):
    server = start(f"{pointer}={top}/{source}" if pointer else f"{top}/{source}")
    assert words(server, pointer or "me/chat:v1") == ["hello", "there"]
    assert len(server.workers(pointer or "me/chat:v1")) == 1


def test_the_example_is_served_with_no_more_words_than_its_folder(start):
    folder = os.path.join(TOP, "docs/examples/python")
    result = millrace("check", folder)
    assert (result.returncode, result.stderr) == (OK, "")
    assert [wire.output_of(line) for line in start(folder).lines("my_user/my_pipeline:v1", "hello there")] == [
        "hello ", "there "]


def test_where_it_is_started_in_the_folder_it_needs_no_more_words(top):
    for argument, source in ((".", "./pipeline.yaml"), ("pipeline.yaml", "pipeline.yaml")):
        result = millrace("check", argument, cwd=top / "chat")
        assert shows(result, source), result
    os.rename(top / "chat/pipeline.yaml", top / "chat/pipeline.yml")
    assert shows(millrace("check", "chat", cwd=top), "chat/pipeline.yml")


def test_a_configuration_file_names_it_by_a_path_that_begins_at_its_folder(start, top):
    path = top / "millrace.yaml"
    path.write_text("""
pipelines:
  me/file:v1: {source: ./chat/pipeline.yaml, workers: 2}
  me/folder:v1:
    source: ./chat
  me/short:v1: chat
""")
    result = millrace("check", "-c", str(path), "--load", cwd="/", environment={"PATH": "/usr/bin:/bin"})
    assert (result.returncode, result.stdout.splitlines()[-1]) == (OK, f"{path}: 3 pipelines, 4 workers"), result
    assert result.stdout.count("pipeline my_new_pipeline") == 3
    server = start("-c", str(path))
    for pointer in ("me/file:v1", "me/folder:v1", "me/short:v1"):
        assert words(server, pointer) == ["hello", "there"]
    assert len(server.workers("me/file:v1")) == 2


def test_a_module_in_a_package_of_the_folder_is_loaded_as_one(start, top):
    package = top / "chat" / "inner"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "split.py").write_text("def split(text):\n    return text.split()\n")
    (package / "graph.py").write_text(MODULE.replace("from words", "from .split"))
    (top / "chat/pipeline.yaml").write_text("pipeline_graph: inner.graph:my_new_pipeline\n")
    assert words(start(f"{top}/chat"), "local/my_new_pipeline:v1") == ["hello", "there"]


@needs_landlock(2)
def test_a_worker_that_may_read_nothing_more_loads_it(start, top):
    (top / "secret").write_text("")
    with open(top / "chat/words.py", "a", encoding="utf-8") as file:
        file.write(f"try:\n    open('{top}/secret')\nexcept PermissionError:\n    print('denied')\n")
    server = start(f"{top}/chat", "--allow-read", "none")
    assert words(server, "me/chat:v1") == ["hello", "there"]
    server.wait_log('text="denied"')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives workers users of their own")
def test_a_file_that_workers_cannot_read_is_named(top):
    os.chmod(top / "chat/pipeline.yaml", 0o600)  # which is for the server alone
    assert shows(millrace("check", str(top / "chat")), f"{top}/chat/pipeline.yaml")
    os.chmod(top / "chat/new_pipeline.py", 0o600)
    result = millrace("serve", str(top / "chat"), "--worker-user", "own")
    assert result.returncode == USAGE
    assert f"cannot read {top}/chat/new_pipeline.py" in result.stderr


@needs_landlock(2)
def test_a_pipeline_in_c_is_served_by_its_folder_too(start, top):
    (top / "chat/words.so").write_bytes(pathlib.Path(example("words.so")).read_bytes())
    (top / "chat/pipeline.yaml").write_text("pipeline_graph: words.so:my_pipeline\npipeline_name: me/c\ndescription: in C\n")
    os.chmod(top / "chat/words.so", 0o644)
    (top / "elsewhere").mkdir()
    server = start("chat", "--allow-read", "none", "--folder", "elsewhere", command=["env", "-C", str(top)], default_user=True)
    assert words(server, "me/c:v1") == ["hello ", "there "]
    assert server.get("/v4/pipelines/me/c:v1").json()["description"] == "in C"
    worker = server.workers("me/c:v1")[0]["pid"]
    assert os.readlink(f"/proc/{worker}/cwd") == str(top / "elsewhere")
    assert "millrace-worker" in os.readlink(f"/proc/{worker}/exe")
    result = millrace("check", str(top / "chat"))
    assert result.returncode == OK and "pipeline my_pipeline" in result.stdout and "description in C" in result.stdout


def test_a_module_of_python_of_that_name_is_not_taken_for_the_one_in_the_folder(top):
    (top / "chat/pipeline.yaml").write_text("pipeline_graph: json:my_new_pipeline\n")
    os.rename(top / "chat/new_pipeline.py", top / "chat/json.py")
    result = millrace("check", "chat", cwd=top)
    assert result.returncode == PIPELINE
    assert "json is a module of Python, so the one in " in result.stderr


def test_what_it_says_for_people_is_shown(start, top):
    said = {"description": "Answers \x1b[2J questions.", "accelerators": ["nvidia_l4", "cpu"],
            "accelerator_memory": 16000, "extras": {"model_type": "chat", "sizes": [1, 2.5, None, True], "x": {"y": "ä"}}}
    path = top / "chat/pipeline.yaml"
    path.write_text("\n".join(["pipeline_graph: new_pipeline:my_new_pipeline", "readme: README.md",
                              *(f"{key}: {json.dumps(value)}" for key, value in said.items())]))
    result = millrace("check", "chat", cwd=top)
    assert shows(result, "chat/pipeline.yaml")
    assert result.stdout.splitlines()[3:] == [
        "  description Answers ?[2J questions.",
        '  accelerators ["nvidia_l4","cpu"]  (not enforced)',
        "  accelerator_memory 16000  (not enforced)",
        '  extras {"model_type":"chat","sizes":[1,2.5,null,true],"x":{"y":"ä"}}',
        "  readme README.md"]
    shown = json.loads(millrace("check", "chat", "--json", cwd=top).stdout)
    assert {key: shown[key] for key in said} == said and shown["input_variables"]
    server = start(f"me/chat:v1={top}/chat", f"me/words:v1={example('words.so')}")
    shown = server.pipeline("me/chat:v1")
    assert {key: shown[key] for key in said} == said and shown["input_variables"]
    assert not {*server.pipeline("me/words:v1")} & {*said}
    path.write_text("pipeline_graph: new_pipeline:my_new_pipeline\n")
    assert json.loads(millrace("check", "chat", "--json", cwd=top).stdout)["extras"] is None
    assert len(millrace("check", "chat", cwd=top).stdout.splitlines()) == 3


# ---- what it needs ---------------------------------------------------------------------------------


def needs(top, *requirements, version="3"):
    said = "".join(f"      - {requirement}\n" for requirement in requirements)
    (top / "chat/pipeline.yaml").write_text(f"""\
runtime:
  python:
    version: {version}
    requirements:
{said}
pipeline_graph: new_pipeline:my_new_pipeline
pipeline_name: me/chat
""")


@pytest.fixture
def installed(top):
    """A folder for PYTHONPATH, with the metadata of one package."""
    metadata = top / "packages" / "known_package-1.2.3.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: known-package\nVersion: 1.2.3\n")
    return {"PYTHONPATH": str(top / "packages")}


def test_requirements_that_are_not_installed_are_all_named_before_anything_is_imported(start, top, installed):
    needs(top, "pipeline-ai", "known-package", "no-such-package==1.0", "another_one")
    (top / "chat/new_pipeline.py").write_text("import no_such_package\n")
    named = ": no-such-package==1.0, another_one (runtime.python.requirements of pipeline.yaml)"
    result = millrace("check", "chat", cwd=top, environment=installed)
    assert (result.returncode, result.stdout) == (PIPELINE, "")
    assert re.fullmatch(r"millrace: check: chat/pipeline\.yaml does not load: not installed for \S+: (.*)\n",
                        result.stderr)[1] == named[2:]
    # Where another one is served, clients are told.
    server = start(f"{top}/chat", f"me/words:v1={example('words.so')}", environment=installed)
    error = server.pipeline("me/chat:v1")["error"]
    assert error["type"] == "startup_error" and error["traceback"] is None
    assert error["message"].startswith("not installed for ") and error["message"].endswith(named)


def test_another_version_is_told_and_served_all_the_same(start, top, installed):
    needs(top, "known-package>=2", "-e ./transformers", version="2.7")
    server = start(f"{top}/chat", environment=installed)
    assert words(server, "me/chat:v1") == ["hello", "there"]
    server.wait_log(r' warning output .*"pipeline.yaml: runtime.python.requirements has known-package>=2, '
                    r'and 1.2.3 is installed"')
    server.wait_log(r' warning output .*"pipeline.yaml: runtime.python.version is 2.7, and this is Python 3\.')
    server.wait_log(r' info output .*"pipeline.yaml: of runtime.python.requirements not looked at: -e ./transformers"')
    result = millrace("check", "chat", cwd=top, environment=installed)
    assert shows(result, "chat/pipeline.yaml")
    assert "has known-package>=2, and 1.2.3 is installed\n" in result.stderr


@needs_landlock(2)
def test_requirements_are_seen_by_a_worker_that_may_read_nothing_more(start, top, installed):
    needs(top, "known-package==1.2.3")
    server = start(f"{top}/chat", "--allow-read", "none", environment=installed)
    assert words(server, "me/chat:v1") == ["hello", "there"]
    assert not any("known-package" in line for line in server.log)


# ---- what is wrong with one ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_folder_without_one_is_refused(top, command):
    (top / "empty").mkdir()
    result = millrace(command, "empty", cwd=top)
    assert (result.returncode, result.stdout) == (PIPELINE, "")
    assert result.stderr == f"millrace: {command}: empty: it is a folder, and has no pipeline.yaml\n"
    result = millrace(command, "empty/pipeline.yaml", cwd=top)
    assert result.returncode == PIPELINE
    assert result.stderr == f"millrace: {command}: empty/pipeline.yaml: No such file or directory\n"
    (top / "millrace.yaml").write_text("pipelines:\n  me/a:v1: empty\n")
    result = millrace(command, "-c", "millrace.yaml", cwd=top)
    assert result.returncode == PIPELINE
    assert result.stderr == "millrace: serve: millrace.yaml:2:12: empty: it is a folder, and has no pipeline.yaml\n"


@pytest.mark.parametrize("command", ["check", "serve"])
def test_all_that_is_of_a_wrong_type_is_told_with_its_place(top, command):
    (top / "chat/pipeline.yaml").write_text("""\
runtime:
  python: {version: [3], requirements: numpy}
accelerators: [[cpu]]
accelerator_memory: 16 GiB
pipeline_graph: new_pipeline
extras: none
colour: blue
""")
    result = millrace(command, "chat", cwd=top)
    assert (result.returncode, result.stdout) == (PIPELINE, "")
    assert result.stderr.splitlines() == ["chat/pipeline.yaml:" + line for line in (
        '7:1: warning: unknown key "colour" is ignored',
        "2:21: runtime.python.version: it has to be a text",
        "2:40: runtime.python.requirements: it has to be a list",
        "3:16: accelerators: each item has to be a text",
        "4:21: accelerator_memory: it has to be a whole number",
        "5:17: pipeline_graph: 'new_pipeline' is not module:name of a pipeline",
        "6:9: extras: it has to be keys and their values")]


def test_a_graph_that_is_not_there_is_told(top):
    (top / "chat/pipeline.yaml").write_text("pipeline_graph: old_pipeline:my_new_pipeline\n")
    result = millrace("check", "chat", cwd=top)
    assert result.returncode == PIPELINE
    assert result.stderr == "chat/pipeline.yaml:1:17: pipeline_graph: there is no module old_pipeline in chat\n"
    (top / "chat/pipeline.yaml").write_text("pipeline_graph: new_pipeline:my_old_pipeline\n")
    result = millrace("check", "chat", cwd=top)
    assert result.returncode == PIPELINE
    assert "chat/pipeline.yaml does not load: new_pipeline: no pipeline my_old_pipeline: it has my_new_pipeline" in \
        result.stderr


def test_what_is_not_known_and_a_name_that_makes_no_pointer_are_warned_about(start, top):
    path = top / "chat/pipeline.yaml"
    path.write_text("pipeline_graph: new_pipeline:my_new_pipeline\npipeline_name: my chat\nacelerators: [cpu]\n")
    server = start(f"{top}/chat")
    assert words(server, "local/my_new_pipeline:v1") == ["hello", "there"]
    assert [line for line in server.log if "warning: " in line] == [
        f"{path}:2:16: warning: 'my chat' makes no pointer like me/words:v1",
        f'{path}:3:1: warning: unknown key "acelerators" is ignored (nearest: accelerators)']


def test_it_says_itself_which_pipeline_it_is(top):
    for source in (f"{top}/chat", f"{top}/chat/pipeline.yaml"):
        result = millrace("serve", source + ":my_new_pipeline")
        assert (result.returncode, result.stdout) == (USAGE, "")
        assert result.stderr == f"millrace: serve: {source} says itself which pipeline it is: leave :my_new_pipeline out\n"


def test_the_file_in_the_documents_is_right_and_so_is_what_is_told_of_a_wrong_one(top):
    with open(os.path.join(TOP, "docs/python-authoring.md"), encoding="utf-8") as file:
        page = file.read().split("\n## A folder with a `pipeline.yaml`\n")[1].split("\n## ")[0]
    [text] = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    text = text.replace("numpy>=1.24", "")
    (top / "chat/pipeline.yaml").write_text(text)
    result = millrace("check", "chat", cwd=top)
    assert shows(result, "chat/pipeline.yaml") and " warning: unknown" not in result.stderr
    lines = text.replace("[nvidia_l4]", "nvidia_l4").splitlines()
    lines.insert(8, "acelerators: [cpu]")
    (top / "chat/pipeline.yaml").write_text("\n".join(lines))
    result = millrace("check", "chat", cwd=top)
    assert [line for line in page.splitlines() if line.startswith("chat/pipeline.yaml:")] == result.stderr.splitlines()
