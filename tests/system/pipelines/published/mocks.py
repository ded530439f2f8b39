# SPDX-License-Identifier: MIT
"""mocks - a finder of modules that are not installed: whatever is asked of them is there and does nothing.

Put into sys.meta_path of an interpreter as sitecustomize: a pipeline that imports torch loads without it.
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
import unittest.mock

NAMES = ("DeepCache", "PIL", "audiocraft", "bs4", "controlnet_aux", "diffusers", "httpx", "huggingface_hub", "moviepy", "numpy",
         "preprocessor", "pytube", "safetensors", "torch", "torchvision", "transformers", "vllm")


class Mock(unittest.mock.MagicMock):
    """A module, a class, a function, a value. Classes can be derived from it: they are classes of their own then."""

    def __mro_entries__(self, _bases):
        return ()


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, _path=None, _target=None):
        if fullname.partition(".")[0] in NAMES:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return Mock(name=spec.name)

    def exec_module(self, module):
        module.__path__ = []

    def find_distributions(self, context):
        """So that what a pipeline.yaml requires counts as installed."""
        return [] if context.name is None else [Distribution(context.name)]


class Distribution(importlib.metadata.Distribution):
    def __init__(self, name):
        self.text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"

    def read_text(self, filename):
        return self.text if filename == "METADATA" else None

    def locate_file(self, path):
        return path


sys.meta_path.insert(0, Finder())
