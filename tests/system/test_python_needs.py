# SPDX-License-Identifier: MIT
"""Which requirements an interpreter fulfils, as the worker tells before it loads a pipeline."""

import importlib.metadata
import re
import sys

import pytest

from millrace_worker import _needs

INSTALLED = {"numpy": "1.24.2", "torch": "2.0.1+cu118", "old-style.name": "1.0", "vllm": "0.2.0rc1",
             "late": "1.7.post1", "odd": "of today", "early": "2.0.dev3", "epoch": "1!1.0"}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    def version(name):
        for known, value in INSTALLED.items():
            if _needs.canonical(known) == name:
                return value
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize("line", [
    "numpy", "NumPy", "numpy>=1.24", "numpy >= 1.24 , < 2", "numpy (>=1.24)", "numpy==1.24.2", "numpy==1.24.*",
    "numpy~=1.20", "numpy~=1.24.0", "numpy!=1.24.3", "numpy!=1.25.*", "numpy<=1.24.2", "numpy>1.24.1", "numpy===1.24.2",
    "numpy[extra]>1", "numpy==1.24.2.0", "numpy @ https://example.org/numpy-1.24.2.tar.gz", "numpy>=1.24,",
    "torch==2.0.1", "torch==2.0.1+cu118", "torch==2.0.1+CU118", "torch<=2.0.1", "Old_Style-Name>=v1",
    "vllm>=0.2.0b9", "vllm==0.2.0-rc.1", "vllm==0.2.*", "vllm>=0.2.0.dev1", "late>=1.7", "late==1.7-1",
    "early>=2.0.dev1", "early<2.0a1", "epoch>2.0", "pipeline-ai", "pipeline_ai==2.1.6", "millrace-pipeline",
])
def test_a_requirement_is_fulfilled(line):
    assert _needs.fault_of(line) == ""


@pytest.mark.parametrize("line", [
    "numpy>=1.25", "numpy==1.24", "numpy==1.25.*", "numpy~=1.25", "numpy~=1.23.1", "numpy!=1.24.2", "numpy!=1.24.*",
    "numpy<1.24.2", "numpy>1.24.2", "numpy>=1.20,<1.24", "torch==2.0.1+cpu", "torch>2.0.1", "vllm>=0.2", "vllm<0.2.0",
    "vllm>0.2.0rc1", "late>1.7", "late==1.7", "early>=2.0a1", "early<2.0", "epoch<2.0", "epoch==1.0", "numpy===1.24.2.0",
])
def test_another_version_is_named(line):
    assert _needs.fault_of(line) == INSTALLED[re.match(r"\w+", line)[0]]


@pytest.mark.parametrize("line", ["diffusers", "diffusers==0.1", "name.with-dots", "diffusers @ file:///x", "a"])
def test_what_is_not_installed_is_missing(line):
    assert _needs.fault_of(line) == "missing"


@pytest.mark.parametrize("line", [
    "-e ./transformers", "-r more.txt", "--pre", "git+https://example.org/x.git@v2", "https://example.org/a.whl", "./a.whl",
    "a-1.0-py3-none-any.whl", "numpy; python_version < '3.9'", "numpy==1.24 torch", "numpy==x", "numpy~=1", "odd>=1",
    "numpy=1.24", "?", "",
])
def test_what_cannot_be_told_is_left_alone(line):
    assert _needs.fault_of(line) is None


def test_all_that_is_missing_is_named_at_once_and_the_rest_is_told(capsys):
    python = ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(_needs.NeedsError) as failure:
        _needs.check("3.1\n a \nnumpy\n\nb>=1\nnumpy<1\n-e ./c")
    assert repr(failure.value) == (
        f"not installed for {sys.executable}: a, b>=1 (runtime.python.requirements of pipeline.yaml)")
    told = capsys.readouterr()
    assert told.out == "pipeline.yaml: of runtime.python.requirements not looked at: -e ./c\n"
    assert told.err == (f"pipeline.yaml: runtime.python.version is 3.1, and this is Python {python}\n"
                        "pipeline.yaml: runtime.python.requirements has numpy<1, and 1.24.2 is installed\n")


@pytest.mark.parametrize("version", ["", "3", f"3.{sys.version_info[1]}", f"3.{sys.version_info[1]}.*", "any"])
def test_a_version_of_python_is_looked_at_as_far_as_it_is_said(capsys, version):
    _needs.check(version)
    assert capsys.readouterr() == ("", "")
