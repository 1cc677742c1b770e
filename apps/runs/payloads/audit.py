"""Access log of payloads: a row before the first byte, its outcome after the last."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import IO, Any

from django.db import Error

from apps.runs.models import Payload, PayloadRead

logger = logging.getLogger(__name__)


def record_read(
    payload: Payload,
    stream: IO[bytes],
    *,
    user: Any,
    address: str | None,
    token: object = "",
    expected: int | None = None,
) -> AuditedStream:
    """Records that `user` reads the payload; closing the returned stream records the outcome.

    `expected` is the number of requested bytes, by default all. `token` is empty for a person in the console; an
    invalid address (a socket file) is stored as null.
    """
    try:
        read = record_direct_read(payload, user=user, address=address, token=token)
    except Error:
        # No read without a record.
        stream.close()
        raise
    return AuditedStream(stream, read, expected=payload.size or 0 if expected is None else expected)


def record_direct_read(
    payload: Payload, *, user: Any, address: str | None, token: object = ""
) -> PayloadRead:
    """Records a read through a presigned URL, whose outcome is unknown here."""
    try:
        known = str(ip_address(address or ""))
    except ValueError:
        known = None
    read = PayloadRead.objects.create(payload=payload, user=user, token=str(token)[:130], address=known)
    logger.info(
        "Payload %s of run %d is read by %s%s from %s",
        payload.pk,
        payload.run_id,
        user,
        f" with token {token}" if token else "",
        known or "a socket",
    )
    return read


class AuditedStream:
    """Stream of `expected` bytes that records on close how many of them were sent.

    With sendfile the kernel sends the bytes; the position of the file shows how many.
    """

    def __init__(self, stream: IO[bytes], read: PayloadRead, *, expected: int) -> None:
        self._stream = stream
        self._read = read
        self._expected = expected
        self._counted = 0
        self._is_open = True
        self._has_place = stream.seekable()
        self._first = stream.tell() if self._has_place else 0

    def __getattr__(self, name: str) -> Any:
        # Attributes of the stream by which a server finds out what it supports: fileno, tell, seek.
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._counted += len(data)
        return data

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._has_place:
            self._counted = self._stream.tell() - self._first
        self._stream.close()
        is_complete = self._counted >= self._expected
        try:
            PayloadRead.objects.filter(pk=self._read.pk).update(
                outcome=PayloadRead.Outcome.COMPLETE if is_complete else PayloadRead.Outcome.BROKEN,
                byte_count=self._counted,
            )
        except Error:
            # The bytes are sent; the row stays at "started".
            logger.exception("The outcome of read %d could not be recorded", self._read.pk)
