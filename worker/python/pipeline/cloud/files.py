# SPDX-License-Identifier: MIT
"""files - files go to the server, at once or in parts, and become what a request says of them.

A server that takes no files answers with the status 404, which is an APIError.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any

from pipeline.cloud import http
from pipeline.cloud.multipart import Body
from pipeline.cloud.schemas import files as schemas
from pipeline.cloud.schemas.runs import RunInput, RunIOType
from pipeline.objects.file import Directory, File
from pipeline.util.logging import PIPELINE_FILE_STR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from pipeline.cloud.exchange import Where

# Of a part.
FILE_CHUNK_SIZE = 200 * 1024 * 1024


def is_file_like(obj: Any) -> bool:
    """Whether a client may give it where a file is taken."""
    return isinstance(obj, (File, io.IOBase))


def upload_file(file_path: os.PathLike[str], **where: Unpack[Where]) -> schemas.RemoteFileData:
    """Sends a file in one request. OSError when it cannot be read, APIError when the server does not take it."""
    with open(file_path, "rb") as file:
        said = http.post_file("/v4/files", {"pfile": (os.path.basename(file_path), file)}, **where).json()
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
            with http.progress_of(part, f"{PIPELINE_FILE_STR} Uploading {name}" if progress else None):
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
