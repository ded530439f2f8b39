# SPDX-License-Identifier: MIT
"""make install and uninstall, and the unit for systemd that comes with them."""

import os
import re
import shutil
import subprocess

import pytest

from confined import needs_python
from server import MILLRACE, TOP, example

VARIANT = os.path.basename(os.environ.get("BUILD", "build/release"))
UNIT = "lib/systemd/system/millrace@.service"


def make(target, *variables):
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    result = subprocess.run(["make", f"VARIANT={VARIANT}", target, *variables], cwd=TOP, env=clean, capture_output=True,
                            text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed") / "prefix"
    make("install", f"PREFIX={folder}")
    return folder


def options_of_unit(prefix):
    """Its options, one value each."""
    found = {}
    for line in (prefix / UNIT).read_text().splitlines():
        key, is_option, value = line.partition("=")
        if is_option and not line.startswith("#"):
            assert key not in found, f"{key} is said twice"
            found[key] = value
    return found


def verify(path):
    """What systemd has to say of a unit."""
    if not shutil.which("systemd-analyze"):
        pytest.fail("systemd-analyze is missing (make test installs systemd)")
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True,
                            timeout=60, check=False)
    return result.stdout + result.stderr


def test_uninstall_removes_all_that_install_wrote(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/opt/millrace")
    kept = tmp_path / "opt/millrace/bin/another"
    kept.write_text("")
    make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=/opt/millrace")
    left = [os.path.join(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
    assert left == [str(kept)]


@pytest.mark.parametrize("where, zsh", [("/usr", "vendor-completions"), ("/opt/millrace", "site-functions")])
def test_completions_are_where_the_shells_look(where, zsh, tmp_path):
    make("install", f"DESTDIR={tmp_path}", f"PREFIX={where}")
    share = tmp_path / where[1:] / "share"
    for shell, path in (("bash", "bash-completion/completions/millrace"), ("zsh", f"zsh/{zsh}/_millrace")):
        expected = subprocess.run([MILLRACE, "completion", shell], capture_output=True, timeout=20, check=True).stdout
        assert (share / path).read_bytes() == expected


def test_systemd_has_nothing_to_say_of_the_unit(prefix, tmp_path):
    assert verify(prefix / UNIT) == ""

    worse = tmp_path / "worse@.service"
    worse.write_text((prefix / UNIT).read_text().replace("KillMode=mixed", "KillMode=mild"))
    assert "Failed to parse kill mode" in verify(worse)


def test_the_unit_waits_longer_than_the_server_takes_to_stop(prefix):
    text = subprocess.run([MILLRACE, "serve", "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
    text = " ".join(text.split())
    bounds_s = [int(re.search(rf"--{name} \S*TIME .*?default (\d+)s\)", text)[1]) for name in ("stop-timeout", "cancel-grace")]
    assert int(options_of_unit(prefix)["TimeoutStopSec"]) > sum(bounds_s)


def test_the_unit_does_not_try_again_what_stays_wrong(prefix):
    with open(os.path.join(TOP, "dispatcher/config/exit_code.h"), encoding="utf-8") as file:
        codes = dict(re.findall(r"EXIT_CODE_(\w+) = (\d+)", file.read()))
    stay = [codes[name] for name in ("USAGE", "PIPELINE", "IO_URING", "WORKER", "TOKENS")]
    assert options_of_unit(prefix)["RestartPreventExitStatus"].split() == stay


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_a_server_with_no_more_than_the_units_capabilities_gives_workers_their_users(start, prefix):
    bounds = [f"+{name[4:].lower()}" for name in options_of_unit(prefix)["CapabilityBoundingSet"].split()]
    server = start(example("words.so"), options=["--worker-user", "own"],
                   command=["setpriv", "--no-new-privs", "--bounding-set", ",".join(["-all", *bounds])])
    assert [line["outputs"][0]["value"] for line in server.lines("local/words:v1", "a b")] == ["a ", "b "]
    worker = server.workers("local/words:v1")[0]["pid"]
    assert os.stat(f"/proc/{worker}").st_uid != 0


# ---- README.md ------------------------------------------------------------------------------------------------


def readme(kind, word):
    """The block of README.md of this kind that has this word."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        found, = [text for text in re.findall(rf"^```{kind}\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
                  if word in text]
    return found


def test_the_pipeline_of_the_readme_is_made_checked_and_served_by_its_commands(start, prefix, tmp_path):
    (tmp_path / "greet.c").write_text(readme("c", "MR_PIPELINE"))
    environment = dict(os.environ, PATH=f"{prefix}/bin:{os.environ['PATH']}",
                       PKG_CONFIG_PATH=f"{prefix}/lib/pkgconfig")

    def shell(commands):
        result = subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True,
                                text=True, timeout=50, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    before, serve, after = re.split(r"^millrace serve (\S+) .*\n", readme("sh", "greet.so"), flags=re.MULTILINE)
    assert "pipeline greeter" in shell(before)
    pointer, source = serve.split("=")
    server = start(f"{pointer}={tmp_path}/{source}")
    lines = shell(after.replace("http://127.0.0.1:8080", server.url)).splitlines()
    assert '"value":"hello you"' in lines[0] and '"state":"completed"' in lines[1]


@needs_python
def test_the_pipeline_in_python_of_the_readme_is_served(start, tmp_path):
    (tmp_path / "greet.py").write_text(readme("python", "builder"))
    pointer, source = re.search(r"serve (\S+)=(\S+)", readme("sh", "greet.py")).groups()
    server = start(f"{pointer}={tmp_path}/{source}")
    assert server.run(pointer, "you").json()["outputs"][0]["value"] == "hello you"
