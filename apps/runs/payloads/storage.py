"""Storage of payloads: first the row, then the object, then the confirmation in the row.

If anything fails in between, the row shows that there may be an object, and the clean-up looks for it.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from typing import BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import storages
from django.db import Error, connection
from django.db.models import Subquery
from django.db.models.functions import Now
from django.utils import timezone

from apps.runs.models import Payload, Run
from apps.runs.payloads.encoding import Readable, encode
from apps.runs.payloads.object_store import delete_objects, object_size

logger = logging.getLogger(__name__)


class PayloadNotStored(Exception):
    """A payload could not be stored; the message says why, for the log of the run."""


class _Incomplete(Exception):
    """The store holds a different number of bytes than it was sent."""


class _MeasuredStream:
    """Stream that is hashed and measured while it is read once."""

    closed = False

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.sha256.update(data)
        self.size += len(data)
        return data

    def seekable(self) -> bool:
        return False


def store_payload(
    run: Run,
    *,
    kind: str,
    name: str,
    content_type: str,
    stream: BinaryIO,
    sequence: int | None,
    payload_id: uuid.UUID | None = None,
) -> Payload:
    """Stores the content of `stream` for a line of the log. Raises PayloadNotStored."""
    payload = Payload(
        id=payload_id or uuid.uuid4(),
        run=run,
        service_id=run.service_id,
        kind=kind,
        name=name[-255:],
        content_type=content_type[:100],
        key=_new_key(run),
        sequence=sequence,
    )
    try:
        payload.save(force_insert=True)
    except Error as error:
        connection.close_if_unusable_or_obsolete()
        raise PayloadNotStored(f"the database did not respond: {type(error).__name__}") from error
    try:
        original, encoding = _upload(payload.key, stream)
    # The store raises errors of its own, and none of them may end the run.
    except Exception as error:
        logger.debug("Payload %s was not stored", payload.pk, exc_info=True)
        _clean_up_failed_upload(payload)
        raise PayloadNotStored(_reason(error)) from error
    try:
        _confirm_upload(payload, original, encoding)
    except Error as error:
        connection.close_if_unusable_or_obsolete()
        raise PayloadNotStored(f"the database did not respond: {type(error).__name__}") from error
    return payload


def _upload(key: str, stream: BinaryIO) -> tuple[_MeasuredStream, str]:
    """Uploads the bytes and compares the stored size. Raises _Incomplete, and errors of the store."""
    original = _MeasuredStream(stream)
    encoding, encoded = encode(original)
    sent = _MeasuredStream(encoded)
    storages["payloads"].save(key, File(sent, name=key))  # type: ignore[arg-type] # It is read, and no more.
    if object_size(key) != sent.size:
        raise _Incomplete
    return original, encoding


def _confirm_upload(payload: Payload, original: _MeasuredStream, encoding: str) -> None:
    """Confirms in the row that the object is complete, unless the run has ended. Raises PayloadNotStored."""
    finished_at = Run.objects.filter(pk=payload.run_id).values("finished_at")
    payload.status, payload.encoding = Payload.Status.STORED, encoding
    payload.size, payload.sha256 = original.size, original.sha256.hexdigest()
    confirmed = Payload.objects.filter(pk=payload.pk, status=Payload.Status.PENDING).update(
        status=payload.status,
        encoding=payload.encoding,
        size=payload.size,
        sha256=payload.sha256,
        expires_at=Subquery(finished_at) + settings.PAYLOAD_RETENTION,
    )
    if not confirmed:
        # The clean-up may have looked for it before it existed.
        delete_objects([payload.key])
        raise PayloadNotStored("the run ended before the upload was complete")


def _clean_up_failed_upload(payload: Payload) -> None:
    """Deletes what the store has of the object, now or by the clean-up."""
    failed = delete_objects([payload.key])
    rows = Payload.objects.filter(pk=payload.pk, status=Payload.Status.PENDING)
    try:
        if failed:
            rows.update(status=Payload.Status.DELETING, expires_at=Now())
        else:
            rows.update(status=Payload.Status.LOST)
    except Error:
        # The row stays pending until the run ends.
        connection.close_if_unusable_or_obsolete()


def _new_key(run: Run) -> str:
    """Key of the object; the given name is not part of it."""
    return f"payloads/{timezone.now():%Y/%m/%d}/{run.pk}/{uuid.uuid4().hex}"


def _reason(error: Exception) -> str:
    """The reason for support staff, without addresses and keys of the store."""
    if isinstance(error, _Incomplete):
        return "the payload store has not received all of it"
    if isinstance(error, OSError) and error.strerror:
        return f"the payload store failed: {error.strerror}"
    return f"the payload store failed: {type(error).__name__}"
