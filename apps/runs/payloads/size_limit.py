"""Limits the stored size of a payload."""

from __future__ import annotations

from typing import BinaryIO


class TooLarge(Exception):
    """A file exceeds the size limit."""


class SizeLimitedStream:
    """Stream that may be read up to a number of bytes; `read` raises TooLarge beyond it."""

    closed = False

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._read = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._read += len(data)
        if self.is_exceeded:
            raise TooLarge
        return data

    @property
    def is_exceeded(self) -> bool:
        return self._read > self._max_bytes

    @property
    def reason(self) -> str:
        limit = f"{self._max_bytes / 2**20:g} MiB"
        return f"it is larger than {limit}, the limit of one payload (SYNCLOG_MAX_PAYLOAD_MIB)"
