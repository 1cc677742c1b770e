"""The spool: one append-only file a run, where a line is safe as soon as its logging call returns.

It is written in the text format of PostgreSQL's COPY, so that the shipper can hand it over without reading
it: run, sequence, time, level, step and message, parted by tabs, a line each; a tab, line feed or backslash
within a message is escaped by a backslash.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})
_NEEDS_ESCAPE = re.compile(r"[\\\n\t]")
_ESCAPE_SEQUENCE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}

# Bytes that are read, and so shipped, at once.
CHUNK_BYTES = 1024 * 1024


class SpoolLine(NamedTuple):
    """One line as it stands in the spool, and as a row takes it; `logged_at` is UTC without a zone."""

    run_id: int
    sequence: int
    logged_at: str
    level: int
    step: int
    message: str


def escape(message: str) -> str:
    return message.translate(_ESCAPED) if _NEEDS_ESCAPE.search(message) else message


def parse_lines(chunk: bytes) -> Iterator[SpoolLine]:
    """The lines of a chunk that ends with a line feed."""
    for text in chunk.decode().split("\n")[:-1]:
        run_id, sequence, logged_at, level, step, message = text.split("\t", 5)
        if "\\" in message:
            message = _ESCAPE_SEQUENCE.sub(lambda match: _UNESCAPED[match.group(1)], message)
        yield SpoolLine(int(run_id), int(sequence), logged_at[:-3], int(level), int(step), message)


class Spool:
    """The file of one run. Whoever holds the run's lease is its one writer."""

    def __init__(self, run_id: int) -> None:
        self.path = settings.SPOOL_DIR / f"run-{run_id}.spool"
        self._descriptor: int | None = None
        self._size = 0

    def open(self) -> None:
        """Open for appending; a line that a crash left half written is taken away."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = self._end_of_last_line()
        os.ftruncate(self._descriptor, self._size)

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all. Raises OSError where the disk does not take it."""
        descriptor = self._opened()
        try:
            written = os.write(descriptor, line)
            if written < len(line):
                os.write(descriptor, line[written:])
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        self._size += len(line)

    def read(self, offset: int) -> bytes:
        """Whole lines from `offset` on, about CHUNK_BYTES of them; empty where there are no more."""
        chunk = os.pread(self._opened(), CHUNK_BYTES, offset)
        # A line is bounded far below what is read at once, so there is a whole one if there is any.
        return chunk[: chunk.rfind(b"\n") + 1]

    def chunks(self) -> Iterator[bytes]:
        offset = 0
        while chunk := self.read(offset):
            yield chunk
            offset += len(chunk)

    def checksum(self) -> int:
        """CRC-32 of the file, 0 to 2**32 - 1."""
        value = 0
        for chunk in self.chunks():
            value = zlib.crc32(chunk, value)
        return value

    def last_sequence(self) -> int:
        """The number of the last whole line; 0 where there is none."""
        last = b""
        for chunk in self.chunks():
            last = chunk
        lines = last.split(b"\n")
        return int(lines[-2].split(b"\t", 2)[1]) if len(lines) > 1 else 0

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Take the file away; whoever has it open can still read it."""
        self.path.unlink(missing_ok=True)

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError("the spool is not open")
        return self._descriptor

    def _end_of_last_line(self) -> int:
        return sum(len(chunk) for chunk in self.chunks())


def spooled_runs() -> list[int]:
    """The runs that have a spool on this host."""
    folder: Path = settings.SPOOL_DIR
    return sorted(int(path.stem.removeprefix("run-")) for path in folder.glob("run-*.spool"))
