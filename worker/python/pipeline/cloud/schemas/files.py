# SPDX-License-Identifier: MIT
"""files - files on the server, and the steps of an upload in parts."""

from __future__ import annotations

import datetime
import typing

from pipeline.cloud.schemas import BaseModel


class RemoteFileData(BaseModel):
    """What an upload made. `size` in bytes, where the server says it."""

    id: str
    path: str
    url: typing.Optional[str]
    size: typing.Optional[int]


class FileGet(BaseModel):
    """What is known of a file."""

    id: str
    path: str
    created_at: datetime.datetime
    updated_at: datetime.datetime


class MultipartFileUploadInitCreate(BaseModel):
    """Begins an upload in parts."""

    name: typing.Optional[str] = None


class MultipartFileUploadInitGet(BaseModel):
    """It has begun."""

    file_id: str
    upload_id: str


class MultipartFileUploadPartCreate(BaseModel):
    """Asks where a part goes; they are counted from 1."""

    file_id: str
    upload_id: str
    part_num: int


class MultipartFileUploadPartGet(BaseModel):
    """Where it goes."""

    upload_url: str


class MultipartFileUploadMetadata(BaseModel):
    """A part that was taken. The names are those of the storage."""

    ETag: str
    PartNumber: int


class MultipartFileUploadFinaliseCreate(BaseModel):
    """Ends an upload in parts."""

    file_id: str
    upload_id: str
    multipart_metadata: typing.List[MultipartFileUploadMetadata]


class UploadFileUsingPresignedUrl(BaseModel):
    """Where one file goes."""

    local_file_path: str
    upload_url: str
    upload_fields: typing.Dict[str, str]


class UploadFilesToRemoteStorageCreate(BaseModel):
    """Where several go."""

    files: typing.List[UploadFileUsingPresignedUrl]
