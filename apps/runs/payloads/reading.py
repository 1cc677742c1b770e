"""Hands out what is kept, while it may be read."""

from __future__ import annotations

from datetime import timedelta
from typing import IO, Any

from botocore.exceptions import ClientError
from django.core.files.storage import storages
from django.db.models.functions import Now
from storages.backends.s3 import S3Storage

from apps.runs.models import Payload
from apps.runs.payloads.encoding import ZSTD, DecodedStream
from apps.runs.payloads.object_store import is_missing, object_size, s3_client

# How long an address of the store's own works.
_LONGEST_LINK = timedelta(seconds=60)


class PayloadGone(Exception):
    """The payload can no longer be read: expired, deleted, or not to be found in the store."""


def open_payload(payload: Payload, *, first: int = 0) -> IO[bytes]:
    """A stream over the original bytes from number `first` on, counted from 0; the caller closes it.

    Whether it may still be read is for the database's clock to say. Raises PayloadGone.
    """
    _check_readable(payload)
    try:
        if payload.encoding == ZSTD:
            return DecodedStream(_open_object(payload.key, 0), first=first)  # type: ignore[return-value] # It reads.
        return _open_object(payload.key, first)
    except FileNotFoundError:
        raise PayloadGone("The payload is not in the store.") from None
    except ClientError as error:
        if is_missing(error):
            raise PayloadGone("The payload is not in the store.") from None
        raise


def direct_link(payload: Payload, *, disposition: str, content_type: str) -> str | None:
    """An address of the store's own for these bytes: 60 s at the most, and never past the payload's time.

    None where the store has none to give, or keeps other bytes than those that were given to it.
    Raises PayloadGone.
    """
    store: Any = storages["payloads"]
    if not isinstance(store, S3Storage) or payload.encoding:
        return None
    left = _check_readable(payload)
    # A whole second less, because that is how exactly the store counts.
    seconds = int(min(_LONGEST_LINK, left - timedelta(seconds=1)).total_seconds())
    if seconds < 1:
        return None
    try:
        object_size(payload.key)
    except FileNotFoundError:
        raise PayloadGone("The payload is not in the store.") from None
    link: str = s3_client(store).generate_presigned_url(
        "get_object",
        Params={
            "Bucket": store.bucket_name,
            "Key": payload.key,
            "ResponseContentDisposition": disposition,
            "ResponseContentType": content_type,
            "ResponseCacheControl": "private, no-store",
        },
        ExpiresIn=seconds,
    )
    return link


def _check_readable(payload: Payload) -> timedelta:
    """How long it may still be read; without end while its run goes on. Raises PayloadGone."""
    rows = Payload.objects.listed().with_state().annotate(now=Now()).filter(pk=payload.pk)
    current = rows.values("state", "expires_at", "now").first()
    if current is None or current["state"] != "stored":
        raise PayloadGone(f"The payload is {current['state'] if current else 'gone'}.")
    expires_at = current["expires_at"]
    return expires_at - current["now"] if expires_at else timedelta.max


def _open_object(key: str, first: int) -> IO[bytes]:
    store: Any = storages["payloads"]
    stream: IO[bytes]
    if isinstance(store, S3Storage):
        # As it comes over the wire: django-storages would first fetch the whole object into memory.
        part = {"Range": f"bytes={first}-"} if first else {}
        stream = s3_client(store).get_object(Bucket=store.bucket_name, Key=key, **part)["Body"]
        return stream
    stream = store.open(key, "rb")
    stream.seek(first)
    return stream
