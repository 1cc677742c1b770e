"""Keeps what passes through a run: the row first, then the object, then the row's word that it is whole."""

from __future__ import annotations

import hashlib
import logging
import uuid
from typing import BinaryIO

from django.core.files import File
from django.core.files.storage import storages
from django.db import DatabaseError
from django.utils import timezone

from apps.runs.models import Payload, Run

logger = logging.getLogger(__name__)


class PayloadNotKept(Exception):
    """The store did not take a payload; the message says why, for the log of the run."""


class _MeasuredFile(File):  # type: ignore[type-arg] # generic in its stubs only
    """A stream that is read once, and hashed and measured as it goes by."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream, name)
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.measured = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.sha256.update(data)
        self.measured += len(data)
        return data

    def seekable(self) -> bool:
        return False


def keep_payload(
    run: Run, *, kind: str, name: str, content_type: str, stream: BinaryIO, sequence: int | None
) -> Payload:
    """Store what `stream` holds, and say at which line of the log it arose. Raises PayloadNotKept."""
    try:
        payload = Payload.objects.create(
            run=run,
            kind=kind,
            name=name[-255:],
            content_type=content_type,
            key=_new_key(run),
            sequence=sequence,
        )
    except DatabaseError as error:
        raise PayloadNotKept(f"the database did not take it: {type(error).__name__}") from error
    file = _MeasuredFile(stream, payload.name)
    try:
        storages["payloads"].save(payload.key, file)
    # The store is foreign code with errors of its own, and none of them may end the run.
    except Exception as error:
        logger.debug("Payload %s was not stored", payload.pk, exc_info=True)
        Payload.objects.filter(pk=payload.pk).update(status=Payload.Status.LOST)
        raise PayloadNotKept(_reason(error)) from error
    payload.status = Payload.Status.STORED
    payload.size, payload.sha256 = file.measured, file.sha256.hexdigest()
    payload.save(update_fields=["status", "size", "sha256"])
    return payload


def _new_key(run: Run) -> str:
    """Where the object goes; the name that was given from outside is no part of it."""
    return f"payloads/{timezone.now():%Y/%m/%d}/{run.pk}/{uuid.uuid4().hex}"


def _reason(error: Exception) -> str:
    """In words for support staff; addresses and keys of the store are none of their business."""
    if isinstance(error, OSError) and error.strerror:
        return f"the payload store did not take it: {error.strerror}"
    return f"the payload store did not take it: {type(error).__name__}"
