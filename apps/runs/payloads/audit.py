"""Notes who reads a payload: that somebody does, before the first byte; how it ended, after the last."""

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
    """Note that `user` is about to read, and how it ended once the stream that is returned is closed.

    `expected` bytes are all that is asked for; by default the whole payload. `token` is empty for a person in the
    console; what is no address (a socket file) is noted as none.
    """
    try:
        read = note_read(payload, user=user, address=address, token=token)
    except Error:
        # Nobody reads what cannot be noted.
        stream.close()
        raise
    return AuditedStream(stream, read, expected=payload.size or 0 if expected is None else expected)


def note_read(payload: Payload, *, user: Any, address: str | None, token: object = "") -> PayloadRead:
    """The row alone, for a reader whom the store itself will hand the bytes: how that ends is not known here."""
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
    """A stream of `expected` bytes that says in the row, when it is closed, how many of them went out.

    What the kernel sends by itself (sendfile) never comes by here; the place in the file tells how far it came.
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
        # What the stream has, so that a server finds out what it may do with it: fileno, tell, seek.
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
            # The bytes are out; the row goes on saying that the reading began.
            logger.exception("How the reading %d ended could not be noted", self._read.pk)
