# SPDX-License-Identifier: MIT
"""millrace init writes a pipeline whose README.md can be typed as it stands: from an installed tree, as a user."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from confined import KINDS
from conftest import public_folder
from server import MILLRACE, SLOWNESS
from test_cli import FAILED, OK, USAGE, millrace
from test_install import make

FILES = {"Python": ["README.md", "my_pipeline.py", "pipeline.yaml", "test_my_pipeline.py"],
         "C": ["Makefile", "README.md", "my_pipeline.c", "pipeline.yaml", "test_my_pipeline.c"]}
OPTIONS = {"Python": [], "C": ["--c"]}
# Not root, where this is.
AS_USER = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
TIMEOUT_S = 40 * SLOWNESS


@pytest.fixture(scope="module")
def installed():
    """An installed tree, and beside it a folder of the user's."""
    with public_folder() as name:
        top = pathlib.Path(name)
        make("install", f"PREFIX={top}/prefix")
        (top / "home").mkdir()
        if AS_USER:
            shutil.chown(top / "home", "nobody", "nogroup")
        yield top


class User:
    """Somebody at a shell, in a folder."""

    def __init__(self, top):
        self.folder = top / "home"
        self.environment = {"PATH": f"{top}/prefix/bin:{os.environ['PATH']}", "HOME": str(self.folder), "LC_ALL": "C.UTF-8",
                            "PKG_CONFIG_PATH": f"{top}/prefix/lib/pkgconfig", "XDG_RUNTIME_DIR": str(self.folder),
                            "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment.update({name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")})

    def types(self, command, folder="."):
        result = subprocess.run([*AS_USER, "bash", "-ec", command], cwd=self.folder / folder, env=self.environment,
                                capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert result.returncode == OK, (command, result.stdout, result.stderr)
        return result.stdout

    @contextlib.contextmanager
    def serving(self, command, folder):
        """The server, which goes; what it says is where it is."""
        command = f"exec {command} --listen 127.0.0.1:0"
        with subprocess.Popen([*AS_USER, "bash", "-ec", command], cwd=self.folder / folder, env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                ready = process.stdout.readline()
                yield re.search(r"ready on (http://\S+)", ready)[1]
            finally:
                process.terminate()
                process.wait(TIMEOUT_S)


@pytest.fixture
def user(installed):
    return User(installed)


def commands_of(readme):
    """The lines of its block for the shell, those that go on made one."""
    block, = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return block.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folder, name", [("words", "words"), ("My chat: Größe №1!", "My-chat-Gr-e-1")])
def test_all_that_the_readme_says_works(user, kind, folder, name):
    folder = f"{folder} {kind}"
    name = f"{name}-{kind}"
    printed = user.types(f"millrace init {' '.join(OPTIONS[kind])} '{folder}'")
    assert sorted(os.listdir(user.folder / folder)) == FILES[kind]
    assert sorted(printed.splitlines()[:-1]) == [f"{folder}/{file}" for file in FILES[kind]]
    assert f"local/{name}:v1" in printed.splitlines()[-1]
    readme = (user.folder / folder / "README.md").read_text()
    assert len(readme.splitlines()) <= 12 and "@" not in readme
    *before, serve, ask = commands_of(readme)
    told = "".join(user.types(command, folder) for command in before)
    assert "all tests passed" in told and "pipeline my_pipeline" in told and serve == "millrace serve ."
    assert "description The words of a text" in told
    with user.serving(serve, folder) as url:
        lines = user.types(ask.replace("http://127.0.0.1:8080", url), folder).splitlines()
        assert [json.loads(line)["outputs"][0]["value"] for line in lines] == ["hello ", "there "]
        assert user.types(f"millrace run local/{name}:v1 'a b' --url {url}") == "a \nb \n"


def test_pytest_finds_the_test(user):
    user.types("millrace init --python tested")
    python = user.types("pkg-config --variable=pythondir millrace").strip()
    assert "2 passed" in user.types(f"PYTHONPATH={python} python3 -m pytest -q -p no:cacheprovider", "tested")


@pytest.mark.parametrize("kind", ["Python", "C"])
def test_the_test_fails_when_the_pipeline_is_wrong(user, kind):
    folder = f"wrong-{kind}"
    user.types(f"millrace init {' '.join(OPTIONS[kind])} {folder}")
    if kind == "Python":
        user.types("sed -i 's/text.split()/[text]/' my_pipeline.py", folder)
        command = "PYTHONPATH=$(pkg-config --variable=pythondir millrace) python3 test_my_pipeline.py"
    else:
        user.types("sed -i 's/ .t.n\"/;\"/' my_pipeline.c", folder)
        command = "make test"
    assert "failed as it should" in user.types(f"{command} || echo failed as it should", folder)


# ---- which folders -----------------------------------------------------------------------------------

def test_nothing_is_written_over(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.git").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for folder, said in (("full", "full is not empty: it has .git"), ("file", "file: Not a directory"),
                         ("none/x", "none/x: No such file or directory"), ("", ": No such file or directory")):
        result = millrace("init", folder, cwd=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (FAILED, "", f"millrace: init: {said}\n")
    assert (tmp_path / "full/.git").read_text() == (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]
    result = millrace("init", "--c", "--python", "x", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (USAGE, "millrace: init: --c and --python are two pipelines\n")


@pytest.mark.parametrize("folder, name", [
    ("a", "a"), ("./a/", "a"), ("x/../b", "b"), ("_a_", "a"), ("..a", "a"), ("a b  c", "a-b-c"), ("№", "my-pipeline"), ("123", "123"),
    ("yes", "yes"), ("a:b", "a-b"), ("a'\"#{", "a"), ("v1.2", "v1.2"), ("x" * 200, "x" * 64), ("-a", "a")])
def test_the_name_is_what_a_pointer_can_have_of_the_folders(tmp_path, folder, name):
    (tmp_path / "x").mkdir(exist_ok=True)
    assert millrace("init", "--", folder, cwd=tmp_path).returncode == OK
    manifest = (tmp_path / folder / "pipeline.yaml").read_text()
    assert f'pipeline_name: "{name}"\n' in manifest
    assert f'"pipeline":"local/{name}:v1"' in (tmp_path / folder / "README.md").read_text()


def test_a_folder_that_is_there_and_empty_is_filled(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    assert millrace("init", "--c", ".", cwd=folder).returncode == OK
    assert sorted(os.listdir(folder)) == FILES["C"] and 'pipeline_name: "here"' in (folder / "pipeline.yaml").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_leaves_nothing(tmp_path):
    script = (f"mount -t tmpfs -o size=4k tmpfs {tmp_path} && cd {tmp_path} && "
              f"{MILLRACE} init a; echo $?; ls -A")
    result = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert result.stdout == "1\n" and "No space left on device" in result.stderr
