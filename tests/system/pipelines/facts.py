# SPDX-License-Identifier: MIT
"""facts - what the package `pipeline` does, said as JSON: the same script runs with ours and with the original.

    PYTHONPATH=FOLDER python3 facts.py          {"name": what came of it, or "refused"}
"""

import io
import json
import typing

from pipeline import File, Pipeline, Variable, entity, pipe
from pipeline import util
from pipeline.cloud.compute_requirements import Accelerator
from pipeline.cloud.schemas import cluster, files, pagination, pipelines, pointers, registry, runs
from pipeline.cloud.schemas.runs import ClusterRunResult, ContainerRunError, RunCreate, RunInput, RunIOType, RunState
from pipeline.exceptions import RunInputException, RunnableError
from pipeline.objects import Directory
from pipeline.objects.graph import InputField, InputSchema, Stream

facts = {}


def note(name, call):
    try:
        facts[name] = call()
    except Exception:  # which one is another matter
        facts[name] = "refused"


# ---- schemas of inputs -------------------------------------------------------------------------------

class Settings(InputSchema):
    a: int | None = InputField(default=1, gt=0, le=10)
    b: float | None = InputField(default=0.5, multiple_of=0.5)
    c: typing.Optional[str] = InputField(choices=["x", "y"], default="x")
    d: str | None = InputField(default="abc", min_length=2, max_length=4)
    f: File | None = InputField(default=None, optional=True)


class Needed(InputSchema):
    a: int = InputField(title="A", description="d", ge=1, lt=5)


for text in ('{}', '{"a": 5}', '{"a": 0}', '{"a": 10}', '{"a": 11}', '{"c": "z"}', '{"c": "y"}', '{"other": 1}', '{"b": 1.5}',
             '{"b": 0.7}', '{"d": "a"}', '{"d": "ab"}', '{"d": "abcde"}'):
    note(f"settings {text}", lambda: Settings(**json.loads(text)).to_dict())
for text in ('{}', '{"a": 1}', '{"a": 0}', '{"a": 5}', '{"a": 1, "other": 2}'):
    note(f"needed {text}", lambda: Needed(**json.loads(text)).to_dict())
for kind in (Settings, Needed):
    note(f"fields of {kind.__name__}", lambda: [
        {key: value for key, value in json.loads(json.dumps(one)).items() if value is not None and key != "optional"}
        for one in kind.to_schema()])


# ---- schemas of requests -----------------------------------------------------------------------------

class Opaque:
    pass


VALUES = {
    "1": 1, "True": True, "1.5": 1.5, "'a'": "a", "None": None, "{}": {}, "{'a': object}": {"a": Opaque()}, "[1]": [1],
    "[object]": [Opaque()], "(1,)": (1, ), "b''": b"", "{1}": {1}, "int": int, "bool": bool, "float": float, "str": str, "dict": dict,
    "list": list, "tuple": tuple, "File": File, "Stream": Stream, "Stream()": Stream(iter([])), "BytesIO()": io.BytesIO(),
    "File()": File(path="a"), "object": Opaque, "NoneType": type(None), "Any": typing.Any, "list[int]": list[int],
    "Stream[int]": Stream[int], "List[File]": typing.List[File]}
for name, value in VALUES.items():
    note(f"word of {name}", lambda: RunIOType.from_object(value).value)
for word in RunIOType:
    note(f"type of {word.value}", lambda: getattr(RunIOType.to_object(word), "__name__", None))
for url in ("http://x/a b", "http://x/a%20b", "http://x/a%20b c", "http://x/a?q=1&r=ä", "http://x/ä"):
    note(f"url {url}", lambda: RunInput(type="file", file_url=url).file_url)
RESULT = {"id": "r", "created_at": 1.5, "updated_at": 2, "pipeline_id": "p", "state": "completed",
          "outputs": [{"type": "string", "value": "a"}]}
note("result as JSON", lambda: json.loads(ClusterRunResult.parse_obj(RESULT).json()))
note("result as dict", lambda: sorted(ClusterRunResult.parse_obj(RESULT).dict()))
note("values of a result", lambda: ClusterRunResult.parse_raw(json.dumps(RESULT)).outputs_formatted())
for state in ("created", "completed", "failed", "of a later server", 5, None):
    note(f"state {state}", lambda: f"{ClusterRunResult.parse_obj({**RESULT, 'state': state}).state}")
note("no result", lambda: ClusterRunResult.parse_obj({}))
note("error", lambda: json.loads(ContainerRunError(type="oom", message="m").json(indent=2)))
note("no error", lambda: ContainerRunError(type="of a later server", message="m"))
note("last states", lambda: [state.value for state in RunState if RunState.is_terminal(state)])
note("request", lambda: json.loads(RunCreate(pipeline="p", inputs=[RunInput(type="integer", value=1)]).json()))
note("no pointer", lambda: pointers.PointerCreate(pointer="a", pointer_or_pipeline_id="b"))
note("page", lambda: pagination.to_page_position(5, 2, 9))
note("accelerators", lambda: sorted(one.value for one in Accelerator))
for module in (runs, files, pipelines, pointers, pagination, cluster, registry):
    for name, kind in sorted(vars(module).items()):
        if isinstance(kind, type) and (kind.__module__, kind.__name__) == (module.__name__, name):
            if hasattr(kind, "__members__"):
                note(f"words of {name}", lambda: [member.value for member in kind])
            elif hasattr(kind, "parse_obj"):
                note(f"fields of {name}", lambda: sorted(getattr(kind, "__fields__", None) or kind.fields()))


# ---- graphs ------------------------------------------------------------------------------------------

@pipe
def measure(text: str, settings: Settings) -> typing.Tuple[str, int]:
    return text + "!", settings.a


@entity
class Model:
    @pipe(on_startup=True, run_once=True)
    def load(self):
        self.loaded = True

    @pipe
    def items(self, text: str, **_more: dict) -> Stream[list[dict]]:
        assert self.loaded
        return Stream(iter([text]))


with Pipeline() as builder:
    text, settings = Variable(str, title="t", description="d", max_length=3, default="x"), Variable(Settings)
    model = Model()
    model.load()
    longer, number = measure(text, settings)
    builder.output(model.items(longer), number)
graph = builder.get_pipeline()


def run(*inputs):
    return [list(one) if isinstance(one, Stream) else one for one in graph.run(*inputs)]


note("parts", lambda: [len(graph.functions), len(graph.nodes), len(graph.models), len(graph.outputs), len(graph.variables)])
note("functions", lambda: [one.name for one in graph.functions])
note("inputs", lambda: [[one.title, one.max_length, one.default] for one in graph.variables if one.is_input])
note("words", lambda: [one.to_io_schema().run_io_type.value for one in graph.variables if one.is_input or one.is_output])
for inputs in (["abc", {"a": 2, "other": 1}], ["abcd", {}], ["abc", {"a": 0}], ["abc"], [1, {}], ["a", 5]):
    note(f"run {json.dumps(inputs)}", lambda: run(*inputs))
for said in ({"path": "a/b"}, {"url": "http://x/y z"}, {"remote_id": "r"}, {}):
    note(f"file {json.dumps(said)}", lambda: (lambda file: [
        file.path and str(file.path), file.url and file.url.geturl(), file.remote_id])(File(**said)))
note("no directory", lambda: Directory(path="/nonexistent"))
note("refusal", lambda: [str(RunInputException("m")), RunInputException("m").message])
note("failure", lambda: str(RunnableError(ValueError("x"), "t")))
note("names", lambda: [util.python_object_to_name(len), util.python_object_to_name(5), len(util.generate_id(7))])

print(json.dumps(facts, indent=1))
