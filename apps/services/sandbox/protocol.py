"""Protocol of the two processes: frames of a length, a kind, and a body that is JSON in UTF-8."""

from __future__ import annotations

import struct
from enum import IntEnum

_HEADER = struct.Struct(">IB")


class Kind(IntEnum):
    """Kind of a frame; its body in brackets."""

    READY = 1  # from the child: it has started []
    LOAD = 2  # to the child: the script [{"source", "name", "limits"}]
    LOADED = 3  # from the child: the script has a `transform` []
    CALL = 4  # to the child: the records [the list]
    RESULT = 5  # from the child: what `transform` returned [the list]
    LOG = 6  # from the child: a line [{"message", "level"}]
    ERROR = 7  # from the child: the script failed [the text]


def pack(kind: Kind, body: bytes = b"") -> bytes:
    return _HEADER.pack(len(body), kind) + body


class Unpacker:
    """Splits received bytes into complete frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> tuple[Kind, bytes] | None:
        """The next complete frame, or None. Raises ValueError for an unknown kind."""
        if len(self._buffer) < _HEADER.size:
            return None
        length, kind = _HEADER.unpack_from(self._buffer)
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(memoryview(self._buffer)[_HEADER.size : end])
        del self._buffer[:end]
        return Kind(kind), body

    def __len__(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer)
