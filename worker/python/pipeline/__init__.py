# SPDX-License-Identifier: MIT
"""pipeline - turns Python functions into pipelines that millrace serves, and calls them.

    from pipeline import Pipeline, pipe, Variable

    @pipe
    def greet(name: str) -> str:
        return "hello " + name

    with Pipeline() as builder:
        name = Variable(str, title="name")
        builder.output(greet(name))

    greeter = builder.get_pipeline()

    greeter.run("you")                                        here and now: ["hello you"]
    $ millrace serve me/greeter:v1=greet.py:greeter           for everybody

pipeline.cloud has the client.
"""

from pipeline.configuration import current_configuration
from pipeline.exceptions import GraphError, InputError
from pipeline.objects.builder import Pipeline
from pipeline.objects.engine import LATER, Engine, Later, Run
from pipeline.objects.file import Directory, File
from pipeline.objects.graph import Graph
from pipeline.objects.pipes import entity, pipe
from pipeline.objects.schema import InputField, InputSchema
from pipeline.objects.stream import Stream
from pipeline.objects.variables import Variable
from pipeline.objects.wrappers import onnx_to_pipeline

__all__ = ["LATER", "Directory", "Engine", "File", "Graph", "GraphError", "InputError", "InputField", "InputSchema",
           "Later", "Pipeline", "Run", "Stream", "Variable", "current_configuration", "entity", "onnx_to_pipeline", "pipe"]
__version__ = "0.1.0"
