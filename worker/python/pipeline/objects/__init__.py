# SPDX-License-Identifier: MIT
"""objects - what graphs are made of, under the names that pipelines import."""

from pipeline.objects.builder import Pipeline
from pipeline.objects.file import Directory, File
from pipeline.objects.function import Function
from pipeline.objects.graph import Graph
from pipeline.objects.model import Model
from pipeline.objects.pipes import entity, pipe
from pipeline.objects.variables import Variable
from pipeline.objects.wrappers import onnx_to_pipeline

__all__ = ["Directory", "File", "Function", "Graph", "Model", "Pipeline", "Variable", "entity", "onnx_to_pipeline",
           "pipe"]
