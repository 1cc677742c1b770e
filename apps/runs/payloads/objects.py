"""Deletes objects from the payload store, many at a time where it can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.files.storage import storages
from storages.backends.s3 import S3Storage

# What one DeleteObjects call takes.
MOST_KEYS = 1000


def delete_objects(keys: Sequence[str]) -> dict[str, str]:
    """Delete up to MOST_KEYS objects; those that are not there count as deleted.

    Returns the keys that could not be deleted, each with the reason.
    """
    store = storages["payloads"]
    if isinstance(store, S3Storage):
        return _delete_from_s3(store, keys)
    failed = {}
    for key in keys:
        try:
            store.delete(key)
        except OSError as error:
            failed[key] = error.strerror or type(error).__name__
    return failed


def _delete_from_s3(store: Any, keys: Sequence[str]) -> dict[str, str]:
    try:
        answer = store.connection.meta.client.delete_objects(
            Bucket=store.bucket_name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
    # Whatever went wrong, it went wrong for all of them, and is tried again later.
    except Exception as error:  # noqa: BLE001
        return dict.fromkeys(keys, type(error).__name__)
    return {
        error["Key"]: error.get("Code", "unknown")
        for error in answer.get("Errors", ())
        if error.get("Code") != "NoSuchKey"
    }
