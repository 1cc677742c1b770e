"""Keeps what is stored of one file within a limit."""

from __future__ import annotations

from typing import BinaryIO


class TooLarge(Exception):
    """A file is larger than what is kept."""


class Bounded:
    """A stream that may be read up to a number of bytes. `read` raises TooLarge beyond it."""

    closed = False

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._read = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._read += len(data)
        if self.is_exceeded:
            raise TooLarge
        return data

    @property
    def is_exceeded(self) -> bool:
        return self._read > self._most_bytes

    @property
    def excuse(self) -> str:
        return f"it is larger than {self._most_bytes / 2**20:g} MiB, the most of one payload (SYNCLOG_MAX_PAYLOAD_MIB)"
