"""The objects in the payload store, beneath the rows: how big, which there are, and away with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage

# What one DeleteObjects call takes.
MOST_KEYS = 1000
# Where all objects are.
FOLDER = "payloads/"

# How servers say that they do not know DeleteObjects.
_NO_BATCHES = {"NotImplemented", "MalformedXML", "MethodNotAllowed", "UnsupportedOperation", "501", "405"}
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}


class StoredObject(NamedTuple):
    """One object as the store lists it."""

    key: str
    modified_at: datetime


def object_size(key: str) -> int:
    """Bytes of the object, as the store tells it. Raises FileNotFoundError, and what the store raises."""
    store: Any = storages["payloads"]
    if not isinstance(store, S3Storage):
        size: int = store.size(key)
        return size
    try:
        return int(s3_client(store).head_object(Bucket=store.bucket_name, Key=key)["ContentLength"])
    except ClientError as error:
        if is_missing(error):
            raise FileNotFoundError(key) from None
        raise


def is_missing(error: ClientError) -> bool:
    """Whether S3 says that there is no such object."""
    return error.response["Error"]["Code"] in _MISSING


def s3_client(store: S3Storage) -> Any:
    """The client of all threads of this process: one of its own would cost each thread 0.1 s of CPU time."""
    return store.bucket.meta.client


def close_connections() -> None:
    """Hang up on the store; who asks it next connects anew. A process that is forked must not inherit any."""
    store: Any = storages["payloads"]
    if isinstance(store, S3Storage):
        s3_client(store).close()


def delete_objects(keys: Sequence[str]) -> dict[str, str]:
    """Delete up to MOST_KEYS objects; those that are not there count as deleted.

    Returns the keys that could not be deleted, each with the reason.
    """
    store: Any = storages["payloads"]
    if not isinstance(store, S3Storage):
        return _delete_one_by_one(keys, store.delete)
    client = s3_client(store)
    try:
        answer = client.delete_objects(
            Bucket=store.bucket_name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in _NO_BATCHES:
            return _delete_one_by_one(
                keys, lambda key: client.delete_object(Bucket=store.bucket_name, Key=key)
            )
        return dict.fromkeys(keys, error.response["Error"]["Code"])
    # Whatever went wrong, it went wrong for all of them, and is tried again later.
    except Exception as error:  # noqa: BLE001
        return dict.fromkeys(keys, type(error).__name__)
    return {
        error["Key"]: error.get("Code", "unknown")
        for error in answer.get("Errors", ())
        if error.get("Code") not in _MISSING
    }


def _delete_one_by_one(keys: Sequence[str], delete: Callable[[str], object]) -> dict[str, str]:
    failed = {}
    for key in keys:
        try:
            delete(key)
        except ClientError as error:
            if not is_missing(error):
                failed[key] = error.response["Error"]["Code"]
        except (OSError, BotoCoreError) as error:
            failed[key] = getattr(error, "strerror", None) or type(error).__name__
    return failed


def list_objects() -> Iterator[StoredObject]:
    """All objects of the store, in no order that is relied on."""
    store: Any = storages["payloads"]
    if isinstance(store, S3Storage):
        pages = (
            s3_client(store)
            .get_paginator("list_objects_v2")
            .paginate(Bucket=store.bucket_name, Prefix=FOLDER)
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield StoredObject(entry["Key"], entry["LastModified"])
        return
    root = Path(store.location)
    for folder, _folders, names in (root / FOLDER).walk():
        for name in names:
            path = folder / name
            # Deleted meanwhile: it is no object any more.
            with suppress(FileNotFoundError):
                modified_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                yield StoredObject(path.relative_to(root).as_posix(), modified_at)


def abandoned_uploads(before: datetime) -> Iterator[tuple[str, str]]:
    """Uploads in parts that began before and never ended: key and upload. Only S3 knows such."""
    store: Any = storages["payloads"]
    if not isinstance(store, S3Storage):
        return
    pages = (
        s3_client(store)
        .get_paginator("list_multipart_uploads")
        .paginate(Bucket=store.bucket_name, Prefix=FOLDER)
    )
    for page in pages:
        for upload in page.get("Uploads", ()):
            if upload["Initiated"] < before:
                yield upload["Key"], upload["UploadId"]


def abort_upload(key: str, upload: str) -> None:
    """Throw the parts of an upload away; one that is gone is none to throw away."""
    store: Any = storages["payloads"]
    try:
        s3_client(store).abort_multipart_upload(Bucket=store.bucket_name, Key=key, UploadId=upload)
    except ClientError as error:
        if not is_missing(error):
            raise


def remove_empty_folders(before: datetime) -> None:
    """Files leave their folders behind; those that nobody has written to since `before` go."""
    store: Any = storages["payloads"]
    if isinstance(store, S3Storage):
        return
    for folder, _folders, _names in (Path(store.location) / FOLDER).walk(top_down=False):
        # Not empty, or gone already.
        with suppress(OSError):
            if folder.stat().st_mtime < before.timestamp():
                folder.rmdir()
