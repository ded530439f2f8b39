# SPDX-License-Identifier: MIT
"""The authoring package `pipeline`: what authors import of the original, where they import it from, and what it does."""

import http.server
import importlib
import re
import threading

import pytest

import pipeline
import pipeline.objects
import pipeline.util.logging
from graphs import echo, graph_of, refusal
from pipeline import Directory, File, InputError, InputField, InputSchema, Pipeline, Variable
from pipeline.exceptions import RunInputException, RunnableError
from pipeline.objects.graph import Stream
from pipeline.util import streaming, torch_utils

# Module and names, as in the original's version 2.6.
NAMES = """
pipeline: Pipeline Variable entity pipe File onnx_to_pipeline current_configuration
pipeline.objects: Pipeline Graph Function Model Variable pipe entity Directory File onnx_to_pipeline
pipeline.objects.graph: Directory File Function Graph GraphNode InputField InputSchema Model Stream Variable
pipeline.objects.decorators: entity pipe
pipeline.objects.function: Function
pipeline.objects.model: Model
pipeline.objects.pipeline: Pipeline
pipeline.objects.wrappers: onnx_to_pipeline
pipeline.configuration: Configuration current_configuration PIPELINE_DIR
pipeline.exceptions: RunInputException RunnableError
pipeline.util: package_version generate_id python_object_to_name CallbackBytesIO
pipeline.util.streaming: handle_stream_response handle_async_stream_response
pipeline.util.logging: PIPELINE_STR PIPELINE_FILE_STR _print
pipeline.util.torch_utils: tensor_to_list
pipeline.cloud: authenticate
pipeline.cloud.compute_requirements: Accelerator
pipeline.cloud.pipelines: run_pipeline stream_pipeline NoResourcesAvailable
pipeline.cloud.runs: get_run poll_for_run_completion
pipeline.cloud.files: upload_file upload_multipart_file is_file_like get_path_from_id create_remote_directory FILE_CHUNK_SIZE
pipeline.cloud.files: resolve_pipeline_file_object resolve_run_input_file_object
pipeline.cloud.http: APIError get post patch delete post_file post_files stream async_post raise_if_http_status_error
pipeline.cloud.pointers: create_pointer
pipeline.cloud.logs: get_run_logs tail_run_logs get_pipeline_startup_logs
pipeline.cloud.asyncio.pipelines: run_pipeline
pipeline.cloud.schemas: BaseModel Patchable
"""


@pytest.mark.parametrize("module, name", [
    (module, name) for module, _, names in (line.partition(":") for line in NAMES.split("\n") if line) for name in names.split()])
def test_a_name_is_where_the_original_has_it(module, name):
    found = getattr(importlib.import_module(module), name)
    for package in (pipeline, pipeline.objects):
        assert name not in package.__all__ or getattr(package, name) is found


def test_a_pipeline_of_an_onnx_file_is_not_offered_and_says_what_to_do():
    with pytest.raises(NotImplementedError, match=r"model\.onnx.*on_startup=True"):
        pipeline.onnx_to_pipeline("model.onnx")


# ---- exceptions --------------------------------------------------------------------------------------

def test_wrong_inputs_are_what_the_original_raises():
    with pytest.raises(RunInputException) as caught:
        echo(int).run("a")
    assert isinstance(caught.value, InputError) and isinstance(caught.value, ValueError)
    assert caught.value.message == str(caught.value) == repr(caught.value) == "input 1 must be an integer, got a string"
    error = RunnableError(KeyError("k"), "where")
    assert str(error) == "RunnableError(KeyError('k'))" and (error.exception.args, error.traceback) == (("k", ), "where")


# ---- schemas -----------------------------------------------------------------------------------------

class Settings(InputSchema):
    size: int = InputField(default=3, gt=0, le=9, description="how large")
    mode: str = InputField(title="Mode", choices=["a", "b"])
    photo: "File | None" = InputField()
    rate: "float | None" = InputField(default=0.5)


def test_fields_that_a_schema_does_not_have_are_ignored():
    taken, = echo(Settings).run({"mode": "a", "mood": "b"})
    assert not hasattr(taken, "mood") and taken.to_dict() == {"size": 3, "mode": "a", "photo": None, "rate": 0.5}
    assert not hasattr(Settings(mode="a", mood=1), "mood")


def test_limits_are_a_type_error_as_in_the_original():
    with pytest.raises(TypeError, match="greater than 0"):
        Settings(mode="a", size=0)
    field = InputField(choices=[1, 2], gt=5)
    for value, words in ((3, "unexpected value"), (2, "greater than 5")):
        with pytest.raises(TypeError, match=words):
            field.validate(value)
    with Pipeline(), pytest.raises(TypeError, match="at most 2 characters"):
        Variable(str, max_length=2).validate_variable("abc")


def test_a_field_takes_its_details_in_the_originals_order():
    field = InputField(3, "T", "D", [1], 0, 1, 9, 8, 2, False, 5, 6, 7, 10, [2, 4], True)
    assert [getattr(field, name) for name in (
        "default title description examples gt ge lt le multiple_of allow_inf_nan max_digits decimal_places min_length max_length "
        "choices optional").split()] == [3, "T", "D", [1], 0, 1, 9, 8, 2, False, 5, 6, 7, 10, [2, 4], True]


def test_fields_are_told_and_made_as_in_the_original():
    said = Settings.to_schema()
    assert [(one["title"], one["run_io_type"], one["optional"]) for one in said] == \
        [("mode", "string", False), ("photo", "file", True), ("rate", "fp", True), ("size", "integer", False)]
    assert (said[3]["gt"], said[3]["le"], said[3]["default"], said[3]["description"]) == (0, 9, 3, "how large")
    made = Settings.from_schema(said)
    made.parse_dict({"mode": "b", "size": 4})
    assert (made.mode, made.size, made.rate) == ("b", 4, 0.5)
    with pytest.raises(TypeError, match="less than or equal to 9"):
        made.parse_dict({"size": 10})
    assert made.size == 4, "a refused value was taken"
    with Pipeline():
        variable = Variable(Settings, title="settings", default={"mode": "a"})
    told = variable.to_io_schema()
    assert (told.run_io_type, told.title, told.dict_schema, variable.dict_schema) == ("dictionary", "settings", said, said)
    assert Stream[int] and echo(list).input_variables[0].dict_schema is None


# ---- files -------------------------------------------------------------------------------------------

def test_a_file_is_a_type_of_inputs_and_of_results():
    def name_of(photo: File) -> "list[File]":
        return [photo]

    graph = graph_of(File, name_of)
    photo = File(path="a/b.png")
    assert graph.run(photo) == [[photo]]
    assert [one.type_word for one in graph.variables] == ["file", "array"]
    assert refusal(graph.run, "b.png") == "input 1 must be a file, got a string"
    assert refusal(graph.run, {"type": "file"}) == "input 1 must be a file, got a dictionary"
    assert "photo\n  instance of File expected" in refusal(echo(Settings).run, {"mode": "a", "photo": {"type": "file"}})
    assert Settings(mode="a", photo=photo).photo is photo
    with Pipeline() as builder:
        builder.output(Variable(Directory))
    assert builder.get_pipeline().output_variables[0].type_word == "file"


def test_what_a_file_is():
    file = File(path="a/b.txt", url="http://host/c%20d.png?x=1", remote_id="f1", title="t")
    assert (str(file.path), file.url.geturl(), file.remote_id, file.title, file.name) == \
        ("a/b.txt", "http://host/c%20d.png?x=1", "f1", "t", "b.txt")
    assert repr(file) == "File(path='a/b.txt', url='http://host/c%20d.png?x=1', remote_id='f1')"
    assert File(url="http://host/x/c.png?d=/e").name == "c.png"
    nothing = File(allow_out_of_context_creation=True)
    assert (nothing.path, nothing.url, nothing.name) == (None, None, "")
    with pytest.raises(TypeError, match="has no path"):
        open(nothing)
    with pytest.raises(ValueError, match="neither a path nor a url"):
        nothing.save("x")


def test_a_directory_is_a_folder_or_a_zip(tmp_path):
    assert Directory(path=tmp_path).path == tmp_path
    Directory(path="a.zip"), Directory(path="a", remote_id="f1"), Directory(url="http://host/a.zip")
    with pytest.raises(ValueError, match="not a directory"):
        Directory(path=tmp_path / "a.txt")
    with pytest.raises(NotImplementedError):
        Directory.from_object({})


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "10" if self.path == "/cut" else "5")
        self.end_headers()
        self.wfile.write(b"bytes")

    def log_message(self, *_):
        pass


def test_a_file_is_saved_from_its_path_or_its_url(tmp_path):
    source = tmp_path / "a.txt"
    source.write_bytes(b"\0\xff")
    File(path=source).save(tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == b"\0\xff"
    with pytest.raises(ValueError, match="is a folder"):
        File(path=tmp_path).save(tmp_path / "c")
    with http.server.HTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{site.server_port}"
            File(url=f"{base}/whole").save(str(tmp_path / "c.txt"))
            with pytest.raises(ConnectionError, match="5 bytes came, of 10"):
                File(url=f"{base}/cut").save(tmp_path / "d.txt")
        finally:
            site.shutdown()
            thread.join(10)
    assert (tmp_path / "c.txt").read_bytes() == b"bytes" and not (tmp_path / "d.txt").exists()
    with pytest.raises(ValueError, match="only http and https"):
        File(url="file:///etc/passwd").save(tmp_path / "e")


# ---- util --------------------------------------------------------------------------------------------

def test_small_things_of_util():
    assert re.fullmatch(r"\d+\.\d+\.\d+", pipeline.util.package_version()) and pipeline.util.package_version() == pipeline.__version__
    assert re.fullmatch("[A-Za-z]{12}", pipeline.util.generate_id(12))
    assert pipeline.util.python_object_to_name(len) == "len" and pipeline.util.python_object_to_name(5) == "5"
    counts = []
    data = pipeline.util.CallbackBytesIO(counts.append, b"abcde")
    assert [data.read(2), data.read(), counts] == [b"ab", b"cde", [2, 3]]


class Answer:
    """Text in pieces, as httpx gives it."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def iter_text(self):
        return iter(self.pieces)

    async def aiter_text(self):
        for piece in self.pieces:
            yield piece


@pytest.mark.parametrize("pieces", [
    ('{"a":1}\n[2]\n\n', "3\n"), tuple('{"a":1}\n[2]\n3\n'), ('{"a":1}\n[2]\n3', ), ('{"a"', ":1}\n", "[2", "]\n3", "\n\n")])
def test_lines_of_json_are_understood_however_they_are_cut(pieces):
    import asyncio

    async def collect():
        return [one async for one in streaming.handle_async_stream_response(Answer(*pieces))]

    assert list(streaming.handle_stream_response(Answer(*pieces))) == asyncio.run(collect()) == [{"a": 1}, [2], 3]


def test_a_line_that_is_cut_is_no_end():
    lines = streaming.handle_stream_response(Answer('{"a":1}\n{"b"'))
    assert next(lines) == {"a": 1}
    with pytest.raises(ValueError):
        next(lines)


def test_what_is_told_at_the_terminal_has_its_level(capsys, monkeypatch):
    pipeline.util.logging._print("words", level="ERROR")
    pipeline.util.logging._print_remote_log((1.5e18, "text"))
    assert re.fullmatch(r"Pipeline \d\d:\d\d:\d\d - \[ERROR\]: words\nPipeline - logs \d\d:\d\d:\d\d: text\n", capsys.readouterr().out)
    monkeypatch.setattr(pipeline.util.logging, "VERBOSE", False)
    pipeline.util.logging._print("words")
    assert capsys.readouterr().out == ""


def test_a_tensor_becomes_a_list():
    class Tensor:
        def cpu(self):
            return self

        detach = double = cpu

        def tolist(self):
            return [[1.0]]

    assert torch_utils.tensor_to_list(Tensor()) == [[1.0]]
