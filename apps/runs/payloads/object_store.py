"""Objects in the payload store: size, list and deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import storages

# Maximum number of keys in a DeleteObjects call.
MAX_KEYS = 1000
# Prefix of all objects.
FOLDER = "payloads/"

# Error codes of servers without DeleteObjects.
_NO_BATCHES = {"NotImplemented", "MalformedXML", "MethodNotAllowed", "UnsupportedOperation", "501", "405"}
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}


class StoredObject(NamedTuple):
    """One object as the store lists it."""

    key: str
    modified_at: datetime


def is_s3(store: Any) -> bool:
    """Whether the store is S3; without the import of S3Storage, a sixth of the start of every process."""
    return hasattr(store, "bucket_name")


def object_size(key: str) -> int:
    """Size of the object in bytes. Raises FileNotFoundError, and errors of the store."""
    store: Any = storages["payloads"]
    if not is_s3(store):
        size: int = store.size(key)
        return size
    try:
        return int(s3_client(store).head_object(Bucket=store.bucket_name, Key=key)["ContentLength"])
    except ClientError as error:
        if is_missing(error):
            raise FileNotFoundError(key) from None
        raise


def is_missing(error: ClientError) -> bool:
    """Whether the error means that the object does not exist."""
    return error.response["Error"]["Code"] in _MISSING


def s3_client(store: Any) -> Any:
    """The client that all threads of the process share: a new one costs 0.1 s of CPU time."""
    return store.bucket.meta.client


def close_connections() -> None:
    """Closes all connections to the store; the next request opens new ones. A forked process must not inherit any."""
    store: Any = storages["payloads"]
    if is_s3(store):
        s3_client(store).close()


def delete_objects(keys: Sequence[str]) -> dict[str, str]:
    """Deletes up to MAX_KEYS objects; missing ones count as deleted.

    Returns the keys that could not be deleted, each with the reason.
    """
    store: Any = storages["payloads"]
    if not is_s3(store):
        return _delete_one_by_one(keys, store.delete)
    client = s3_client(store)
    try:
        response = client.delete_objects(
            Bucket=store.bucket_name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in _NO_BATCHES:
            return _delete_one_by_one(
                keys, lambda key: client.delete_object(Bucket=store.bucket_name, Key=key)
            )
        return dict.fromkeys(keys, error.response["Error"]["Code"])
    # The error concerns all keys; they are retried later.
    except Exception as error:  # noqa: BLE001
        return dict.fromkeys(keys, type(error).__name__)
    return {
        error["Key"]: error.get("Code", "unknown")
        for error in response.get("Errors", ())
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
    """All objects of the store in any order."""
    store: Any = storages["payloads"]
    if is_s3(store):
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
            # Deleted in the meantime.
            with suppress(FileNotFoundError):
                modified_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                yield StoredObject(path.relative_to(root).as_posix(), modified_at)


def abandoned_uploads(before: datetime) -> Iterator[tuple[str, str]]:
    """Multipart uploads that began before a time and never ended: key and upload id. Only S3 has them."""
    store: Any = storages["payloads"]
    if not is_s3(store):
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
    """Aborts a multipart upload; a missing one is ignored."""
    store: Any = storages["payloads"]
    try:
        s3_client(store).abort_multipart_upload(Bucket=store.bucket_name, Key=key, UploadId=upload)
    except ClientError as error:
        if not is_missing(error):
            raise


def remove_empty_folders(before: datetime) -> None:
    """Removes empty folders that were not changed since `before`."""
    store: Any = storages["payloads"]
    if is_s3(store):
        return
    for folder, _folders, _names in (Path(store.location) / FOLDER).walk(top_down=False):
        # Not empty, or removed already.
        with suppress(OSError):
            if folder.stat().st_mtime < before.timestamp():
                folder.rmdir()
