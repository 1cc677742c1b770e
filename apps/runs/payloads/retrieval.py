"""Hands out what is kept, while it may be read."""

from __future__ import annotations

from typing import IO, Any

from botocore.exceptions import ClientError
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage

from apps.runs.models import Payload


class PayloadGone(Exception):
    """The payload can no longer be read: expired, deleted, or not to be found in the store."""


def open_payload(payload: Payload, *, first: int = 0) -> IO[bytes]:
    """A stream over the stored bytes from number `first` on, counted from 0; the caller closes it.

    Whether it may still be read is for the database's clock to say. Raises PayloadGone.
    """
    current = Payload.objects.listed().with_state().filter(pk=payload.pk).first()
    if current is None or current.state != "stored":
        raise PayloadGone(f"The payload is {current.state if current else 'gone'}.")
    try:
        return _open_object(payload.key, first)
    except FileNotFoundError:
        raise PayloadGone("The payload is not in the store.") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
            raise PayloadGone("The payload is not in the store.") from None
        raise


def _open_object(key: str, first: int) -> IO[bytes]:
    store: Any = storages["payloads"]
    stream: IO[bytes]
    if isinstance(store, S3Storage):
        # As it comes over the wire: django-storages would first fetch the whole object into memory.
        part = {"Range": f"bytes={first}-"} if first else {}
        client = store.connection.meta.client
        stream = client.get_object(Bucket=store.bucket_name, Key=key, **part)["Body"]
        return stream
    stream = store.open(key, "rb")
    stream.seek(first)
    return stream
