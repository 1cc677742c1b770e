"""Spool: an append-only file per run, in which a line is safe when its logging call returns."""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.runs.log.line_format import CHUNK_BYTES, renumbered, sequence_of
from apps.runs.log.record_file import RecordFile
from apps.runs.log.spool_tail import Tail, append_whole, tail_of

# Bytes reserved on disk for the number of lost lines, so that it can be written on a full disk.
_LOSSES_BYTES = 512


class Spool:
    """Spool file of one run. The process that holds its lock is its only writer; the lock ends with the process.

    Files beside it hold the outcomes of records (`.records`), the number of lost lines (`.lost`), the outcome of the
    run (`.end`), and the latest lines of a log beyond its limit.
    """

    def __init__(self, run_id: int) -> None:
        self.path: Path = settings.SPOOL_DIR / f"run-{run_id}.spool"
        self.records = RecordFile(run_id, self.path.with_suffix(".records"), self._mark_unwritten_records)
        # Whether this process holds the lock.
        self.is_ours = False
        # Lines left out between head and tail of a log beyond its limit.
        self.omitted_count = 0
        self._descriptor: int | None = None
        self._losses: int | None = None
        # Lines that the disk did not take, the reason, and whether it did not take outcomes of records.
        self._lost: tuple[int, str, bool] = (0, "", False)
        # Bytes of complete lines.
        self.size = 0

    def open(self) -> None:
        """Opens the file for appending and removes an incomplete last line.

        Raises OSError, BlockingIOError if another process writes it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._begin()
        self.records.open(is_writer=True)
        self._losses = os.open(self._losses_path, os.O_RDWR | os.O_CREAT, 0o600)
        # Reserves its space now, while the disk has room.
        self._lost = self._read_losses()
        self._write_losses()

    def adopt(self) -> bool:
        """Opens the spool of another process; False if that process lives, then the spool is read-only.

        Raises OSError, FileNotFoundError if there is none.
        """
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.records.open(is_writer=False)
            return False
        self._begin()
        self.records.open(is_writer=True)
        self.append_tail(tail_of(self.path))
        return True

    def _begin(self) -> None:
        self.is_ours = True
        self.size = self._end_of_last_line()
        os.ftruncate(self._opened(), self.size)

    def append_tail(self, tail: Tail | None) -> None:
        """Appends the latest lines of a log beyond its limit, after a line that says how many are left out.

        May be interrupted and repeated.
        """
        if tail is None:
            return
        self.omitted_count = tail.omitted_count
        done = self.last_sequence() - tail.head
        for sequence, line in enumerate(tail.lines_after_head(), tail.head + 1):
            if sequence - tail.head > done:
                self.append(renumbered(line, sequence))

    def record_end(self, end: dict[str, Any]) -> None:
        """Records beside the spool how the run ended. Raises OSError."""
        draft = self.path.with_suffix(".end-draft")
        draft.write_text(json.dumps(end))
        draft.replace(self.path.with_suffix(".end"))

    def end(self) -> dict[str, Any] | None:
        """The recorded outcome of the run, None if there is none."""
        try:
            end: dict[str, Any] = json.loads(self.path.with_suffix(".end").read_text())
        except (OSError, ValueError):
            return None
        return end

    def record_losses(self, count: int, reason: str) -> None:
        """Records beside the spool how many lines the disk did not take, and why. Raises OSError."""
        self._lost = (count, reason[: _LOSSES_BYTES // 8], self._lost[2])
        self._write_losses()

    def losses(self) -> tuple[int, str] | None:
        """The recorded number of lost lines and the reason, None if no line was lost."""
        count, reason, _has_unwritten_records = self._read_losses()
        return (count, reason) if count else None

    @property
    def has_unwritten_records(self) -> bool:
        """Whether the disk did not take outcomes of records until the worker ended."""
        return self._read_losses()[2]

    def _mark_unwritten_records(self, has_unwritten: bool) -> None:
        self._lost = (*self._lost[:2], has_unwritten)
        with suppress(OSError):
            self._write_losses()

    def _write_losses(self) -> None:
        if self._losses is not None:
            os.pwrite(self._losses, json.dumps(self._lost).ljust(_LOSSES_BYTES).encode(), 0)

    def _read_losses(self) -> tuple[int, str, bool]:
        try:
            count, reason, has_unwritten_records = [*json.loads(self._losses_path.read_text()), False][:3]
        except (OSError, ValueError):
            return 0, "", False
        return count, reason, has_unwritten_records

    def append(self, line: bytes) -> None:
        """Appends one line completely or not at all. Raises OSError."""
        append_whole(self._opened(), line, self.size)
        self.size += len(line)

    def read(self, offset: int) -> bytes:
        """Complete lines from `offset`, about CHUNK_BYTES of them; empty at the end."""
        chunk = os.pread(self._opened(), CHUNK_BYTES, offset)
        # A line is much shorter than a chunk, so a chunk contains a complete line if there is one.
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
        """Number of the last complete line, 0 if there is none."""
        last = b""
        for chunk in self.chunks():
            last = chunk
        lines = last.split(b"\n")
        return sequence_of(lines[-2]) if len(lines) > 1 else 0

    def close(self) -> None:
        self.records.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self.is_ours = False
        if self._losses is not None:
            os.close(self._losses)
            self._losses = None

    def remove(self) -> None:
        """Removes the spool and the files beside it; a process that has it open can still read it."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".records").unlink(missing_ok=True)
        self.path.with_suffix(".end").unlink(missing_ok=True)
        self._losses_path.unlink(missing_ok=True)
        for beside in self.path.parent.glob(f"{self.path.stem}.tail-*"):
            beside.unlink(missing_ok=True)

    def quarantine(self) -> None:
        """Renames a damaged file so that it is not shipped but can be inspected."""
        with suppress(OSError):
            self.path.rename(self.path.with_suffix(".unreadable"))

    @property
    def _losses_path(self) -> Path:
        return self.path.with_suffix(".lost")

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError("the spool is not open")
        return self._descriptor

    def _end_of_last_line(self) -> int:
        return sum(len(chunk) for chunk in self.chunks())


def spooled_runs() -> list[int]:
    """Numbers of the runs that have a spool on this host."""
    folder: Path = settings.SPOOL_DIR
    numbers = (path.stem.removeprefix("run-") for path in folder.glob("run-*.spool"))
    return sorted(int(number) for number in numbers if number.isdecimal())
