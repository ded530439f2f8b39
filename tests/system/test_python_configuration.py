# SPDX-License-Identifier: MIT
"""pipeline.configuration: the servers that ~/.pipeline/config.yaml names, with PyYAML and without."""

import os
import stat
import subprocess
import sys

import pytest

from pipeline import configuration
from server import TOP

# As the original writes it.
WRITTEN = """active_remote: home
remotes:
- alias: work
  token: 'it''s'
  url: https://example.org/
- alias: home
  url: http://127.0.0.1:8080
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "PIPELINE_DIR", tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture(params=["PyYAML", "nothing"])
def with_and_without_yaml(request, monkeypatch):
    if request.param == "nothing":
        monkeypatch.setitem(sys.modules, "yaml", None)
    else:
        pytest.importorskip("yaml")


def shown(remotes):
    return [(remote.alias, remote.url, remote.token) for remote in remotes]


def test_nothing_is_read_or_written_before_it_is_asked_for(tmp_path):
    code = "import pipeline; c = pipeline.current_configuration; print(c.is_debugging(), c.active_remote, c.remotes)"
    for home in (tmp_path, "/nonexistent"):
        result = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True, timeout=30,
                                env={"HOME": str(home), "PYTHONPATH": os.path.join(TOP, "worker/python"), "PIPELINE_DEBUG": "1"})
        assert result.stdout == "True None None\n" and os.listdir(tmp_path) == []


@pytest.mark.usefixtures("with_and_without_yaml")
def test_the_originals_file_is_understood(folder):
    folder.mkdir()
    (folder / "config.yaml").write_text("# mine\n\n" + WRITTEN)
    known = configuration.Configuration()
    assert shown(known.remotes) == [("work", "https://example.org/", "it's"), ("home", "http://127.0.0.1:8080", None)]
    assert known.active_remote.alias == "home" and "it's" not in repr(known.remotes)


@pytest.mark.usefixtures("with_and_without_yaml")
def test_what_is_written_is_read_again(folder):
    known = configuration.Configuration()
    known.add_remote("a", "http://x", 'to"ken: #\\')
    known.add_remote("ö", "http://y")
    assert stat.S_IMODE(os.stat(folder / "config.yaml").st_mode) == 0o600 and os.listdir(folder) == ["config.yaml"]
    assert known.active_remote.alias == "a"
    known.set_active_remote("ö")
    again = configuration.Configuration()
    assert shown(again.remotes) == [("a", "http://x", 'to"ken: #\\'), ("ö", "http://y", None)] and again.active_remote.alias == "ö"
    again.remove_remote("ö")
    third = configuration.Configuration()
    assert third.active_remote.alias == "a", "the first is meant where none is chosen"
    third.remove_remote("a")
    assert (configuration.Configuration().remotes, configuration.Configuration().active_remote) == ([], None)


def test_what_is_not_known_is_refused(folder):
    known = configuration.Configuration()
    known.add_remote("a", "http://x")
    for call in (lambda: known.set_active_remote("b"), lambda: known.remove_remote("b")):
        with pytest.raises(ValueError, match="'b' does not exist"):
            call()
    with pytest.raises(ValueError, match="'a' already exists"):
        known.add_remote("a", "http://z")
    assert (folder / "config.yaml").exists() and known.files_cache == folder / "files"


@pytest.mark.usefixtures("with_and_without_yaml")
@pytest.mark.parametrize("text", ["[1", "- a\n", "remotes: {a: b}\n", "active_remote\n", "remotes:\n- alias: 'a'\n  : [\n"])
def test_another_file_is_refused_with_its_name(folder, text):
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="Invalid configuration file at .*config.yaml"):
        configuration.Configuration().load()


def test_debugging_is_of_the_process():
    known = configuration.Configuration()
    assert known.is_debugging() is False
    known.set_debug_mode(True)
    assert known.is_debugging() is True
