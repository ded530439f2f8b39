# SPDX-License-Identifier: MIT
"""pipeline.cloud.schemas: what clients and servers say to each other, as objects with the original's attributes."""

import datetime
import io
import json
import typing

import pytest

from pipeline import File
from pipeline.cloud.compute_requirements import Accelerator
from pipeline.cloud.schemas import BaseModel, Patchable, ValidationError, files, pagination, pipelines, pointers, runs
from pipeline.cloud.schemas.runs import ClusterRunResult, RunInput, RunIOType, RunState
from pipeline.objects.graph import Stream

RESULT = {"id": "run_1", "created_at": 1.5, "updated_at": 2.5, "pipeline_id": "pipeline_1", "state": "completed",
          "queue_position": None, "inputs": None, "outputs": [{"type": "string", "value": "a", "file": None}], "error": None}


class Inner(BaseModel):
    count: int


class Sample(BaseModel):
    name: str
    size: typing.Optional[int]
    inner: typing.Optional[Inner] = None
    many: typing.List[Inner] = []
    table: typing.Dict[str, float] = {}
    flag: bool = False
    when: typing.Optional[datetime.datetime] = None
    state: RunState = RunState.created


# ---- objects -----------------------------------------------------------------------------------------

def test_what_is_not_said_is_the_default_and_belongs_to_one_object():
    first, second = Sample(name="a"), Sample(name="b")
    assert (first.size, first.inner, first.many, first.flag, first.state) == (None, None, [], False, "created")
    first.many.append(Inner(count=1))
    assert second.many == []


@pytest.mark.parametrize("values, expected", [
    ({"size": "5"}, 5), ({"size": 5.0}, 5), ({"size": True}, 1), ({"size": None}, None), ({"flag": "yes"}, True),
    ({"flag": 0}, False), ({"name": 5}, "5"), ({"inner": {"count": 1}}, Inner(count=1)), ({"inner": Inner(count=2)}, Inner(count=2)),
    ({"many": [{"count": 1}, Inner(count=2)]}, [Inner(count=1), Inner(count=2)]), ({"table": {"a": 1}}, {"a": 1}),
    ({"when": 0}, datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)),
    ({"when": "1970-01-01T01:00:00+01:00"}, datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)),
    ({"when": "1970-01-01T00:00:00Z"}, datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)),
    ({"state": "running"}, RunState.running)])
def test_values_with_a_plain_meaning_are_converted(values, expected):
    name, = values
    value = getattr(Sample(**{"name": "x", **values}), name)
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize("values, place", [
    ({"name": None}, ["name"]), ({}, ["name"]), ({"size": "a"}, ["size"]), ({"size": 1.5}, ["size"]), ({"flag": "perhaps"}, ["flag"]),
    ({"inner": 5}, ["inner", "__root__"]), ({"inner": {}}, ["inner", "count"]), ({"many": {"count": 1}}, ["many"]),
    ({"many": [{"count": 1}, {"count": "x"}]}, ["many", 1, "count"]), ({"many": [{"count": 1}, None]}, ["many", 1]),
    ({"table": {"k": "x"}}, ["table", "k"]), ({"when": "yesterday"}, ["when"]), ({"when": 1e30}, ["when"]), ({"state": 5}, ["state"])])
def test_other_values_are_refused_with_their_place(values, place):
    with pytest.raises(ValidationError) as caught:
        Sample(**({"name": "x", **values} if values else {}))
    error, = caught.value.errors()
    assert list(error["loc"]) == place
    assert str(caught.value).startswith("1 validation error for Sample\n" + " -> ".join(map(str, place)) + "\n")


def test_all_mistakes_are_told_at_once_and_what_is_unknown_is_ignored():
    with pytest.raises(ValidationError, match="2 validation errors for Sample"):
        Sample(size="a")
    assert not hasattr(Sample(name="a", unknown=1), "unknown")
    with pytest.raises(ValidationError, match="extra fields not permitted"):
        type("Change", (Patchable, ), {"__annotations__": {"a": int}})(a=1, b=2)


def test_objects_become_dicts_and_json_and_come_back():
    sample = Sample(name="a", inner=Inner(count=1), many=[Inner(count=2)], when=1.5, state="failed")
    said = sample.dict()
    assert (said["inner"], said["many"], said["state"]) == ({"count": 1}, [{"count": 2}], RunState.failed)
    assert isinstance(said["when"], datetime.datetime)
    assert json.loads(sample.json()) == {"name": "a", "size": None, "inner": {"count": 1}, "many": [{"count": 2}], "table": {},
                                         "flag": False, "when": 1.5, "state": "failed"}
    assert sample.json(include={"name", "size"}, exclude_none=True, indent=2) == '{\n  "name": "a"\n}'
    assert sample.dict(exclude={"name"}).keys() == said.keys() - {"name"}
    assert Sample.parse_raw(sample.json()) == sample == Sample.parse_obj(sample) == Sample.parse_obj(said)
    assert sample.copy(update={"name": "b"}).name == "b" and sample.name == "a"
    assert dict(sample)["name"] == "a" and repr(Inner(count=1)) == "Inner(count=1)"
    with pytest.raises(ValidationError):
        Sample.parse_raw("{")
    with pytest.raises(ValidationError, match="expected dict not list"):
        Sample.parse_obj([])
    with pytest.raises(TypeError):
        RunInput(type="pkl", value=object()).json()


# ---- runs --------------------------------------------------------------------------------------------

def test_a_result_has_the_originals_attributes():
    result = ClusterRunResult.parse_raw(json.dumps(RESULT))
    assert result.state is RunState.completed and RunState.is_terminal(result.state)
    assert result.updated_at - result.created_at == datetime.timedelta(seconds=1)
    assert result.outputs_formatted() == ["a"] and result.outputs[0].type == "string"
    assert {key: value for key, value in json.loads(result.json()).items()} == RESULT
    assert f"{result.state} {result.outputs[0].type}" == "completed string" and str(result.state) == "completed"
    assert RunState("of a later version") is RunState.unknown and not RunState.is_terminal("queued")


def test_a_result_with_an_error_has_no_outputs():
    error = {"type": "pipeline_error", "message": "ValueError()", "traceback": None}
    result = ClusterRunResult.parse_obj({**RESULT, "state": "failed", "outputs": None, "error": error})
    assert result.outputs_formatted() == [] and json.loads(result.error.json(indent=2)) == error
    assert str(result.error) == "pipeline_error: ValueError()"
    with pytest.raises(ValidationError):
        ClusterRunResult.parse_obj({**RESULT, "error": {**error, "type": "of a later version"}})


def test_an_output_that_is_a_file_is_a_file():
    said = {"name": "a.png", "path": "run_files/a.png", "url": "http://host/a%20b.png", "size": 3}
    result = ClusterRunResult.parse_obj({**RESULT, "outputs": [{"type": "file", "value": None, "file": said}]})
    file, = result.outputs_formatted()
    assert isinstance(file, File) and file.url.geturl() == said["url"] and file.name == "a.png"
    lost = ClusterRunResult.parse_obj({**RESULT, "outputs": [{"type": "file", "value": None, "file": {**said, "url": None}}]})
    with pytest.raises(ValueError, match="missing information"):
        lost.outputs_formatted()


# As the original has them.
@pytest.mark.parametrize("value, word", [
    (1, "integer"), (int, "integer"), (True, "integer"), (bool, "boolean"), (1.5, "fp"), (float, "fp"), ("a", "string"),
    (str, "string"), (None, "none"), ({}, "dictionary"), (dict, "dictionary"), ({"a": object()}, "pkl"), ([1], "array"),
    (list, "array"), ([object()], "pkl"), (Stream(iter([])), "stream"), (Stream, "stream"), (Stream[int], "stream"), (File, "file"),
    (File(path="a"), "file"), (io.BytesIO(), "file"), ((1, 2), "pkl"), (object(), "pkl"), (b"", "pkl"), ({1}, "pkl")], ids=repr)
def test_values_and_types_have_words(value, word):
    assert RunIOType.from_object(value) is RunIOType(word)


def test_words_have_types():
    assert [RunIOType.to_object(word) for word in ("integer", "fp", "string", "boolean", "none", "dictionary", "array")] == \
        [int, float, str, bool, None, dict, list]
    for word in ("pkl", "stream"):
        with pytest.raises(ValueError, match="Invalid io_type"):
            RunIOType.to_object(word)


@pytest.mark.parametrize("url, encoded", [
    ("http://x/a b.png", "http://x/a%20b.png"), ("http://x/a%20b c.png", "http://x/a%20b c.png"), ("http://x/a.png", "http://x/a.png"),
    ("http://x/ä", "http://x/%C3%A4"), ("http://x/a?b=c d&e#f", "http://x/a?b=c%20d&e#f"), (None, None)])
def test_urls_of_inputs_are_encoded_once(url, encoded):
    once = RunInput(type="file", file_url=url)
    assert once.file_url == encoded == RunInput(type="file", file_url=once.file_url).file_url
    nested = RunInput(type="dictionary", value={"a": {"file_url": url}, "b": [{"c": {"file_url": url}}], "file_url": 5})
    assert nested.value == {"a": {"file_url": encoded}, "b": [{"c": {"file_url": encoded}}], "file_url": 5}


def test_a_request_is_what_the_original_sends():
    request = runs.RunCreate(pipeline="a/b:v1", inputs=[RunInput(type="integer", value=True)])
    assert json.loads(request.json()) == {
        "pipeline": "a/b:v1", "async_run": False, "wait_for_resources": None, "run_id": None,
        "inputs": [{"type": "integer", "value": True, "file_name": None, "file_path": None, "file_url": None}]}


# ---- the others --------------------------------------------------------------------------------------

def test_the_schemas_of_the_original_are_there():
    for module, names in (
            (runs, "RunState RunErrorType RunError RunFileType RunFile RunIOType RunOutputFile RunOutput RunResult RunInput "
                   "ContainerRunErrorType ContainerRunError ContainerRunCreate ContainerRunResult ClusterRunResult "
                   "RunStateTransition RunStateTransitions RunCreate"),
            (files, "RemoteFileData FileGet MultipartFileUploadInitCreate MultipartFileUploadInitGet MultipartFileUploadPartCreate "
                    "MultipartFileUploadPartGet MultipartFileUploadMetadata MultipartFileUploadFinaliseCreate "
                    "UploadFileUsingPresignedUrl UploadFilesToRemoteStorageCreate"),
            (pipelines, "IOVariable PipelineStartUpload PipelineStartUploadResponse PipelineCreate Pipeline PipelinePatch "
                        "PipelineListPagination PipelineDeploymentStatus PipelineState PipelineContainerState PipelineScalingInfo "
                        "PipelineGet"),
            (pointers, "PointerGet PointerCreate PointerPatch"), (pagination, "Pagination Paginated Order PagePosition")):
        for name in names.split():
            assert isinstance(getattr(module, name), type)
            if issubclass(getattr(module, name), BaseModel):
                assert getattr(module, name).fields()


def test_schemas_with_rules_of_their_own():
    assert pointers.PointerCreate(pointer="a/b:v1", pointer_or_pipeline_id="x").locked is None
    with pytest.raises(ValidationError, match="Invalid pointer name"):
        pointers.PointerCreate(pointer="no", pointer_or_pipeline_id="x")
    page = pagination.Paginated.of([1, 2], pagination.get_default_pagination(), 5)
    assert page.dict() == {"skip": 0, "limit": 1000, "total": 5, "data": [1, 2]}
    for values in ({"skip": -1, "limit": 1}, {"skip": 0, "limit": 0}, {"skip": 0, "limit": 10_001}):
        with pytest.raises(ValidationError, match="ensure this value"):
            pagination.Pagination(**values)
    assert pagination.to_page_position(20, 10, 45) == {"current": 3, "total": 5}
    assert pipelines.PipelineStartUpload(pipeline_name="a", accelerators=["nvidia_l4"]).accelerators == [Accelerator.nvidia_l4]
    assert pipelines.PipelineScalingInfo(current_replicas=1, desired_replicas=2, current_pipeline_states={"loaded": 1}) \
        .current_pipeline_states == {pipelines.PipelineState.loaded: 1}
    assert files.RemoteFileData.parse_obj({"id": "a", "path": "b"}).url is None
