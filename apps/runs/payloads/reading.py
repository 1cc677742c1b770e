"""Reading of payloads until they expire."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import IO, Any

from botocore.exceptions import ClientError
from django.core.files.storage import storages
from django.db.models.functions import Now

from apps.runs.models import Payload
from apps.runs.payloads.encoding import ZSTD, DecodedStream
from apps.runs.payloads.object_store import is_missing, is_s3, object_size, s3_client

logger = logging.getLogger(__name__)

# Validity of a presigned URL.
_MAX_LINK_AGE = timedelta(seconds=60)


class PayloadGone(Exception):
    """The payload can no longer be read: it has expired, was deleted, or its object is missing."""


def open_payload(payload: Payload, *, first: int = 0) -> IO[bytes]:
    """Stream of the original bytes from offset `first`; the caller closes it.

    Expiry is decided by the clock of the database. Raises PayloadGone; a payload without an object becomes lost.
    """
    _check_readable(payload)
    try:
        if payload.encoding == ZSTD:
            return DecodedStream(_open_object(payload.key, 0), first=first)  # type: ignore[return-value] # It reads.
        return _open_object(payload.key, first)
    except FileNotFoundError:
        raise _mark_lost(payload) from None
    except ClientError as error:
        if is_missing(error):
            raise _mark_lost(payload) from None
        raise


def direct_link(payload: Payload, *, disposition: str, content_type: str) -> str | None:
    """Presigned URL of the bytes, valid for at most 60 s and not beyond the expiry of the payload.

    None if the store has no such URLs or stores the payload compressed. Raises PayloadGone.
    """
    store: Any = storages["payloads"]
    if not is_s3(store) or payload.encoding:
        return None
    left = _check_readable(payload)
    # One second less, because the store counts in whole seconds.
    seconds = int(min(_MAX_LINK_AGE, left - timedelta(seconds=1)).total_seconds())
    if seconds < 1:
        return None
    try:
        object_size(payload.key)
    except FileNotFoundError:
        raise _mark_lost(payload) from None
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
    """Time until the payload expires; timedelta.max while its run is open. Raises PayloadGone."""
    rows = Payload.objects.listed().with_state().annotate(now=Now()).filter(pk=payload.pk)
    current = rows.values("state", "expires_at", "now").first()
    if current is None or current["state"] != "stored":
        raise PayloadGone(f"The payload is {current['state'] if current else 'gone'}.")
    expires_at = current["expires_at"]
    return expires_at - current["now"] if expires_at else timedelta.max


def _mark_lost(payload: Payload) -> PayloadGone:
    """Sets the status of a payload whose object is missing; returns the error to raise."""
    if Payload.objects.filter(pk=payload.pk, status=Payload.Status.STORED).update(status=Payload.Status.LOST):
        logger.warning("Payload %s of run %d has no object in the store", payload.pk, payload.run_id)
    return PayloadGone("The payload is missing from the payload store.")


def _open_object(key: str, first: int) -> IO[bytes]:
    store: Any = storages["payloads"]
    stream: IO[bytes]
    if is_s3(store):
        # Streamed: django-storages would load the whole object into memory first.
        part = {"Range": f"bytes={first}-"} if first else {}
        stream = s3_client(store).get_object(Bucket=store.bucket_name, Key=key, **part)["Body"]
        return stream
    stream = store.open(key, "rb")
    stream.seek(first)
    return stream
