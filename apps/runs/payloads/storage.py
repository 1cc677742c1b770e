"""Keeps what passes through a run: the row first, then the object, then the row's word that it is whole.

Whatever fails in between, the row knows that there may be an object, and the clean-up looks for it.
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


class PayloadNotKept(Exception):
    """The store did not take a payload; the message says why, for the log of the run."""


class _Incomplete(Exception):
    """The store holds another number of bytes than it was sent."""


class _Measured:
    """A stream that is read once, and hashed and measured as it goes by."""

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


def keep_payload(
    run: Run,
    *,
    kind: str,
    name: str,
    content_type: str,
    stream: BinaryIO,
    sequence: int | None,
    payload_id: uuid.UUID | None = None,
) -> Payload:
    """Store what `stream` holds, and say at which line of the log it arose. Raises PayloadNotKept."""
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
        raise PayloadNotKept(f"the database did not take it: {type(error).__name__}") from error
    try:
        original, encoding = _upload(payload.key, stream)
    # The store is foreign code with errors of its own, and none of them may end the run.
    except Exception as error:
        logger.debug("Payload %s was not stored", payload.pk, exc_info=True)
        _give_up(payload)
        raise PayloadNotKept(_reason(error)) from error
    try:
        _settle(payload, original, encoding)
    except Error as error:
        connection.close_if_unusable_or_obsolete()
        raise PayloadNotKept(f"the database did not take it: {type(error).__name__}") from error
    return payload


def _upload(key: str, stream: BinaryIO) -> tuple[_Measured, str]:
    """Send the bytes, and compare what the store has of them. Raises _Incomplete, and what the store raises."""
    original = _Measured(stream)
    encoding, encoded = encode(original)
    sent = _Measured(encoded)
    storages["payloads"].save(key, File(sent, name=key))  # type: ignore[arg-type] # It is read, and no more.
    if object_size(key) != sent.size:
        raise _Incomplete
    return original, encoding


def _settle(payload: Payload, original: _Measured, encoding: str) -> None:
    """Let the row say that its object is whole, unless the run has ended meanwhile. Raises PayloadNotKept."""
    finished_at = Run.objects.filter(pk=payload.run_id).values("finished_at")
    payload.status, payload.encoding = Payload.Status.STORED, encoding
    payload.size, payload.sha256 = original.size, original.sha256.hexdigest()
    settled = Payload.objects.filter(pk=payload.pk, status=Payload.Status.PENDING).update(
        status=payload.status,
        encoding=payload.encoding,
        size=payload.size,
        sha256=payload.sha256,
        expires_at=Subquery(finished_at) + settings.PAYLOAD_RETENTION,
    )
    if not settled:
        # The clean-up may have looked for it before it was there.
        delete_objects([payload.key])
        raise PayloadNotKept("the run had ended before it was whole")


def _give_up(payload: Payload) -> None:
    """Nobody knows how much of it the store has: it is deleted now, or else by the clean-up."""
    failed = delete_objects([payload.key])
    rows = Payload.objects.filter(pk=payload.pk, status=Payload.Status.PENDING)
    try:
        if failed:
            rows.update(status=Payload.Status.DELETING, expires_at=Now())
        else:
            rows.update(status=Payload.Status.LOST)
    except Error:
        # The row stays pending, and is settled when the run ends.
        connection.close_if_unusable_or_obsolete()


def _new_key(run: Run) -> str:
    """Where the object goes; the name that was given from outside is no part of it."""
    return f"payloads/{timezone.now():%Y/%m/%d}/{run.pk}/{uuid.uuid4().hex}"


def _reason(error: Exception) -> str:
    """In words for support staff; addresses and keys of the store are none of their business."""
    if isinstance(error, _Incomplete):
        return "the payload store has not all of it"
    if isinstance(error, OSError) and error.strerror:
        return f"the payload store did not take it: {error.strerror}"
    return f"the payload store did not take it: {type(error).__name__}"
