# SPDX-License-Identifier: MIT
"""files - files go to the server, at once or in parts, and become what a request says of them.

A server that takes no files answers with the status 501 or 404, which is an APIError.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import zipfile
from typing import TYPE_CHECKING, IO, Any, Union

from pipeline.cloud import http
from pipeline.cloud.multipart import Body, form
from pipeline.cloud.schemas import files as schemas
from pipeline.cloud.schemas.runs import RunInput, RunIOType
from pipeline.objects.file import Directory, File, is_file_like
from pipeline.util.logging import PIPELINE_FILE_STR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where

    Path = Union[str, os.PathLike[str]]

__all__ = ["FILE_CHUNK_SIZE", "create_remote_directory", "get_path_from_id", "is_file_like", "resolve_pipeline_file_object",
           "resolve_run_input_file_object", "run_input_of", "upload_file", "upload_multipart_file", "upload_open_file"]

# Of a part.
FILE_CHUNK_SIZE = 200 * 1024 * 1024
# Of what cannot be read where it is.
COPY_SIZE = 256 * 1024


def upload_file(file_path: Path, progress: bool = False, **where: Unpack[Where]) -> schemas.RemoteFileData:
    """Sends a file in one request. OSError when it cannot be read, APIError when the server does not take it. The bar is
    shown where stderr is a terminal, or if it is asked for."""
    with open(file_path, "rb") as file:
        return upload_open_file(os.path.basename(os.fspath(file_path)), file, progress, **where)


def upload_open_file(name: str, file: IO[bytes], progress: bool = False,
                     **where: Unpack[Where]) -> schemas.RemoteFileData:
    """Likewise, from where it stands."""
    body = form({"pfile": (name, file)}, {})
    with http.progress_of(body, f"{PIPELINE_FILE_STR} Uploading {name}", progress):
        answer = http.request("POST", "/v4/files", body, **where)
    http.raise_if_http_status_error(answer)
    said = answer.json()
    # A container's server says where it is, and no more.
    return schemas.RemoteFileData.parse_obj({"id": said.get("path"), **said})


def upload_multipart_file(file_path: os.PathLike[str], progress: bool = False,
                          **where: Unpack[Where]) -> schemas.FileGet:
    """Sends a file part by part, each to where the server says. Errors as above."""
    name = os.path.basename(file_path)
    begun = schemas.MultipartFileUploadInitGet.parse_obj(http.post(
        "/v3/pipeline_files/initiate-multipart-upload", {"name": name}, **where).json())
    parts: list[schemas.MultipartFileUploadMetadata] = []
    with open(file_path, "rb") as file:
        while (left := os.fstat(file.fileno()).st_size - file.tell()) > 0:
            part = Body([(file, min(left, FILE_CHUNK_SIZE))], "application/octet-stream")
            with http.progress_of(part, f"{PIPELINE_FILE_STR} Uploading {name}", progress):
                parts.append(upload_part(part, begun, len(parts) + 1, where))
    done = schemas.MultipartFileUploadFinaliseCreate(
        file_id=begun.file_id, upload_id=begun.upload_id, multipart_metadata=parts)
    return schemas.FileGet.parse_obj(http.post(
        "/v3/pipeline_files/finalise-multipart-upload", done.dict(), **where).json())


def upload_part(part: Body, begun: schemas.MultipartFileUploadInitGet, number: int,
                where: Where) -> schemas.MultipartFileUploadMetadata:
    asked = schemas.MultipartFileUploadPartCreate(file_id=begun.file_id, upload_id=begun.upload_id, part_num=number)
    told = schemas.MultipartFileUploadPartGet.parse_obj(http.post(
        "/v3/pipeline_files/presigned-url", asked.dict(), **where).json())
    answer = http.put_url(told.upload_url, part)
    return schemas.MultipartFileUploadMetadata(ETag=answer.headers["etag"], PartNumber=number)


def get_path_from_id(file_id: str, **where: Unpack[Where]) -> str:
    """The path that the server has for a file by its id."""
    return schemas.FileGet.parse_obj(http.get(f"/v3/pipeline_files/{file_id}", **where).json()).path


def create_remote_directory(local_path: pathlib.Path, **where: Unpack[Where]) -> schemas.FileGet:
    """Sends a folder, or a .zip of one, as a .zip. FileNotFoundError or ValueError for what is neither."""
    if not local_path.exists():
        raise FileNotFoundError(f"Directory not found (path={local_path})")
    if local_path.suffix == ".zip":
        return upload_multipart_file(local_path, progress=True, **where)
    if not local_path.is_dir():
        raise ValueError(f"Path is not a directory or zip file (path={local_path})")
    with zip_of(local_path) as packed:
        return upload_multipart_file(packed, progress=True, **where)


@contextlib.contextmanager
def zip_of(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file of its own, which is gone afterwards. Names are as they are in the folder."""
    with tempfile.TemporaryDirectory() as place:
        packed = pathlib.Path(place) / f"{folder.resolve().name}.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
        yield packed


def resolve_pipeline_file_object(obj: File, **where: Unpack[Where]) -> None:
    """Gives a File the path that it has on the server, uploading it if need be. One with a URL stays as it is."""
    if obj.url is None and (obj.remote_id is not None or obj.path is not None):
        obj.path = pathlib.Path(remote_path_of(obj, where))


def run_input_of(value: Any, **where: Unpack[Where]) -> RunInput:
    """What a request says of a File or of an open file, which is uploaded if need be. An open file that has a path goes
    by that, as it is on the disk; of any other what it holds goes, from its beginning if it can go back there."""
    if isinstance(value, File):
        return resolve_run_input_file_object(value, **where)
    path = path_of(value)
    if path is not None:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            value.flush()
        return resolve_run_input_file_object(File(path), **where)
    with contents_of(value) as file:
        sent = upload_open_file(os.path.basename(name_of(value)) or "file", file, **where)
    return input_of(sent.path, sent.url)


def name_of(value: Any) -> str:
    """The path that an open file has, or says that it has; "" when there is none."""
    name = getattr(value, "name", None)
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""


def path_of(value: Any) -> str | None:
    """Where an open file is on the disk; None when it is not there, or something else is by now."""
    path = os.path.abspath(name_of(value))
    try:
        is_there = os.path.isfile(path) and os.path.samestat(os.fstat(value.fileno()), os.stat(path))
    except (AttributeError, OSError, ValueError):
        return None
    return path if is_there else None


@contextlib.contextmanager
def contents_of(value: Any) -> Iterator[IO[bytes]]:
    """All that an open file holds, text as UTF-8. It stands where it stood afterwards."""
    at = value.tell() if value.seekable() else None
    if at is not None:
        value.seek(0)
    try:
        if at is not None and isinstance(value.read(0), bytes):
            yield value
        else:
            with tempfile.TemporaryFile() as copy:
                while piece := value.read(COPY_SIZE):
                    copy.write(piece.encode("utf-8") if isinstance(piece, str) else piece)
                copy.seek(0)
                yield copy
    finally:
        if at is not None:
            value.seek(at)


def resolve_run_input_file_object(obj: File, **where: Unpack[Where]) -> RunInput:
    """What a request says of a File, which is uploaded if need be. ValueError for one that is nowhere."""
    if obj.url is not None:
        return input_of(obj.url.geturl(), obj.url.geturl())
    if obj.remote_id is None and obj.path is not None and not isinstance(obj, Directory):
        sent = upload_file(obj.path, **where)
        return input_of(sent.path, sent.url)
    return input_of(remote_path_of(obj, where), None)


def remote_path_of(obj: File, where: Where) -> str:
    if obj.remote_id is not None:
        return get_path_from_id(obj.remote_id, **where)
    if obj.path is None:
        raise ValueError(f"Invalid file object: {obj}, must have remote_id, path, or URL")
    if isinstance(obj, Directory):
        return create_remote_directory(obj.path, **where).path
    return upload_multipart_file(obj.path, **where).path


def input_of(path: str, url: str | None) -> RunInput:
    return RunInput(type=RunIOType.file, file_name=path.rsplit("/", 1)[-1], file_path=path, file_url=url)
