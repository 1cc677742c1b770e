"""Reported payloads: files of runs that happen elsewhere."""

from __future__ import annotations

import hashlib
import time
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.runs.models import Payload, Run
from apps.runs.payloads.expiry import set_expiry
from apps.runs.payloads.size_limit import SizeLimitedStream, TooLarge
from apps.runs.payloads.storage import PayloadNotStored, store_payload
from apps.runs.reported.reporting import (
    check_open,
    check_reporter,
    is_reporters,
    locked_run,
    renew,
    renew_if_open,
)

# Seconds between two renewals of the lease during a long upload, and bytes that are hashed at once.
_RENEW_EVERY = 60
_BLOCK_BYTES = 256 * 1024


class PayloadExists(Exception):
    """Another file is stored under this kind and name; `payload` is its row."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload.pk)
        self.payload = payload


class PayloadTooLarge(Exception):
    """The file exceeds the size limit of a payload."""


def store_reported_payload(
    run: Run, user: Any, *, kind: str, name: str, content_type: str, stream: BinaryIO, sequence: int | None
) -> tuple[Payload, bool]:
    """Stores a file under its kind and name; returns its row and whether it is new.

    The same bytes again change nothing. Raises PayloadExists, PayloadTooLarge, ReportEnded, and PayloadNotStored.
    """
    check_reporter(run, user)
    with transaction.atomic():
        current = locked_run(run)
        check_open(current)
        # The log looks for payloads only in runs that store some.
        renew(current, **{f"store_{kind}": True})
    namesakes = run.payloads.filter(kind=kind, name=name, status=Payload.Status.STORED)
    read_limited = SizeLimitedStream(
        cast("BinaryIO", _RenewingStream(stream, run)), settings.MAX_PAYLOAD_BYTES
    )
    source = cast("BinaryIO", read_limited)
    try:
        if (stored := namesakes.first()) is not None:
            return _same(stored, _digest(source)), False
        payload = store_payload(
            run, kind=kind, name=name, content_type=content_type, stream=source, sequence=sequence
        )
    except (TooLarge, PayloadNotStored):
        if read_limited.is_exceeded:
            raise PayloadTooLarge from None
        raise
    with transaction.atomic():
        current = locked_run(run)
        first = namesakes.order_by("created_at", "pk")[0]
        if not current.is_open:
            set_expiry(current, settings.PAYLOAD_RETENTION)
        elif is_reporters(current):
            renew(current)
        if first.pk != payload.pk:
            # Of two simultaneous uploads of one name the later one is deleted by the next clean-up.
            Payload.objects.filter(pk=payload.pk).update(expires_at=Now())
    return (payload, True) if first.pk == payload.pk else (_same(first, payload.sha256), False)


class _RenewingStream:
    """Request body whose reading renews the lease."""

    def __init__(self, stream: BinaryIO, run: Run) -> None:
        self._stream = stream
        self._run = run
        self._renewed_at = time.monotonic()

    def read(self, size: int = -1) -> bytes:
        if time.monotonic() - self._renewed_at > _RENEW_EVERY:
            self._renewed_at = time.monotonic()
            renew_if_open(self._run)
        return self._stream.read(size)


def _digest(stream: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    while block := stream.read(_BLOCK_BYTES):
        sha256.update(block)
    return sha256.hexdigest()


def _same(stored: Payload, sha256: str) -> Payload:
    if stored.sha256 != sha256:
        raise PayloadExists(stored)
    return stored
