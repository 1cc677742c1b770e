"""Record file: beside the spool of a run, with what became of its records.

A row in the format of COPY is an outcome, and is shipped. A line that begins with “?” contains keys whose outcome is
not known yet; if the worker dies, they show which records it was processing. A line that begins with “=” is the
digest of accepted content.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import NamedTuple

from apps.runs.log.line_format import CHUNK_BYTES, escape, time_text, unescape
from apps.runs.log.spool_tail import append_whole
from apps.runs.models import Record, Step

# Keys in one line: even the longest fit into a chunk.
_KEYS_AT_ONCE = 500
# After a line feed, which is found faster than the beginning of a line.
_OTHER_LINES = re.compile(rb"\n[?=].*")
_CONTENTS = re.compile(rb"\n=(.*)")
_ROWS = rb"(?:%d\t[-0-9 :.]{26}\t\d+\t\d+\t\d+\t[1-6]\t\d\t[^\t\n]+\t[^\t\n]*\n)*"


@dataclass(frozen=True)
class Decision:
    """What became of some records, and the place where it was decided."""

    outcome: Record.Outcome
    step: Step
    # Log line of the decision.
    sequence: int
    page: int
    # 0 = in no batch.
    batch: int = 0
    # Reason, on one line.
    message: str = ""


@dataclass(frozen=True)
class UndecidedKeys:
    """Keys of one page whose outcome is not in the file."""

    page: int
    step: Step
    keys: tuple[str, ...]


class RecordChunk(NamedTuple):
    """Part of a record file, in the format of COPY."""

    rows: bytes
    accepted_contents: bytes
    # Offset after it.
    end: int

    def check(self, run_id: int) -> None:
        """Raises ValueError unless all rows are outcomes of the run."""
        if not re.fullmatch(_ROWS % run_id, self.rows):
            raise ValueError("the record file is damaged")

    def decisions(self) -> Iterator[tuple[str, int, int]]:
        """Key, outcome and line of each row."""
        for row in self.rows.decode().split("\n")[:-1]:
            _run, _time, sequence, _page, _batch, outcome, _step, key, _message = row.split("\t")
            yield unescape(key), int(outcome), int(sequence)

    def renumbered(self, since: int, moved_by: int) -> RecordChunk:
        """The chunk for a log whose lines from number `since` on were renumbered."""
        rows = []
        for row in self.rows.splitlines(keepends=True):
            run_id, recorded_at, number, rest = row.split(b"\t", 3)
            sequence = int(number)
            moved = sequence + moved_by if sequence >= since else sequence
            rows.append(b"%b\t%b\t%d\t%b" % (run_id, recorded_at, moved, rest))
        return self._replace(rows=b"".join(rows))


class RecordFile:
    """Append-only file; the process that holds the lock of the spool is its only writer.

    What the disk does not take waits in memory, is written first as soon as there is room, and is read and shipped
    like the rest. `mark_unwritten` is called with whether something waits.
    """

    def __init__(self, run_id: int, path: Path, mark_unwritten: Callable[[bool], None]) -> None:
        # Bytes of complete lines, on disk or waiting.
        self.size = 0
        self._run_id = run_id
        self._path = path
        self._mark_unwritten = mark_unwritten
        self._waiting: list[bytes] = []
        self._written_size = 0
        self._descriptor: int | None = None
        # The shipper reads in another thread.
        self._lock = threading.Lock()

    def open(self, *, is_writer: bool) -> None:
        """Opens the file; its writer removes an incomplete last line. Raises OSError."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._written_size = os.fstat(self._descriptor).st_size
        self._written_size = self.size = sum(map(len, self._chunks()))
        if is_writer:
            os.ftruncate(self._descriptor, self.size)

    def close(self) -> None:
        if self._descriptor is not None:
            with self._lock:
                if self._waiting:
                    self._write_waiting()
            os.close(self._descriptor)
            self._descriptor = None

    def quarantine(self) -> None:
        """Renames a damaged file so that it is not shipped but can be inspected."""
        with suppress(OSError):
            self._path.rename(self._path.with_suffix(".unreadable-records"))

    def note(self, page: int, step: Step, keys: Iterable[str]) -> None:
        """Writes keys whose outcome is not known yet; those of a later step replace those of an earlier one."""
        head = f"?{page}\t{step:d}"
        self._append(
            b"".join(
                "\t".join((head, *map(escape, part))).encode() + b"\n"
                for part in batched(keys, _KEYS_AT_ONCE)
            )
        )

    def decide(self, keys: Sequence[str], decision: Decision) -> None:
        """Writes the outcome of records."""
        if keys:
            self._append(rows_of(self._run_id, keys, decision))

    def accept(self, service_id: int, digests: Iterable[tuple[str, str]]) -> None:
        """Writes keys and the digests of their accepted content."""
        lines = (f"={service_id}\t{escape(key)}\t{digest}\n" for key, digest in digests)
        self._append("".join(lines).encode())

    def read(self, offset: int) -> RecordChunk:
        """About CHUNK_BYTES from `offset`."""
        chunk = self._read(offset)
        lines = b"\n" + chunk
        contents = b"".join(line + b"\n" for line in _CONTENTS.findall(lines))
        return RecordChunk(_OTHER_LINES.sub(b"", lines)[1:], contents, offset + len(chunk))

    def undecided(self, offset: int = 0, end: int | None = None) -> Iterator[UndecidedKeys]:
        """Keys from `offset` to `end` whose outcome is not in that part of the file, page by page.

        Raises ValueError if the file is damaged.
        """
        page, step = 0, Step.PULL
        keys: dict[str, None] = {}
        for line in self._lines(offset, self.size if end is None else end):
            if line.startswith("="):
                continue
            if not line.startswith("?"):
                _run, _time, _sequence, _page, _batch, _outcome, _step, key, _message = line.split("\t", 8)
                keys.pop(unescape(key), None)
                continue
            of_page, of_step, rest = line[1:].split("\t", 2)
            if int(of_page) != page:
                if keys:
                    yield UndecidedKeys(page, step, tuple(keys))
                page, keys = int(of_page), {}
            elif int(of_step) != step:
                keys = {}
            step = Step(int(of_step))
            keys |= dict.fromkeys(map(unescape, rest.split("\t")))
        if keys:
            yield UndecidedKeys(page, step, tuple(keys))

    def _append(self, data: bytes) -> None:
        with self._lock:
            self.size += len(data)
            if not self._waiting and self._write(data):
                return
            self._waiting.append(data)
            if len(self._waiting) == 1:
                self._mark_unwritten(True)
            else:
                self._write_waiting()

    def _write_waiting(self) -> None:
        while self._waiting and self._write(self._waiting[0]):
            del self._waiting[0]
        if not self._waiting:
            self._mark_unwritten(False)

    def _write(self, data: bytes) -> bool:
        """Appends all of the data to the file, or nothing."""
        if self._descriptor is None:
            return False
        try:
            append_whole(self._descriptor, data, self._written_size)
        except OSError:
            return False
        self._written_size += len(data)
        return True

    def _read(self, offset: int) -> bytes:
        """Complete lines from `offset`, about CHUNK_BYTES of them; empty at the end."""
        if self._descriptor is None:
            return b""
        with self._lock:
            if offset < self._written_size:
                chunk = os.pread(self._descriptor, min(CHUNK_BYTES, self._written_size - offset), offset)
            else:
                start = offset - self._written_size
                chunk = b"".join(self._waiting)[start : start + CHUNK_BYTES]
        return chunk[: chunk.rfind(b"\n") + 1]

    def _chunks(self, offset: int = 0) -> Iterator[bytes]:
        while chunk := self._read(offset):
            yield chunk
            offset += len(chunk)

    def _lines(self, offset: int, end: int) -> Iterator[str]:
        for chunk in self._chunks(offset):
            yield from chunk[: end - offset].decode().split("\n")[:-1]
            offset += len(chunk)
            if offset >= end:
                return


def rows_of(run_id: int, keys: Sequence[str], decision: Decision) -> bytes:
    """Rows in the format of COPY with one outcome for at least one record."""
    head = (
        f"{run_id}\t{time_text(time.time()).removesuffix('+00')}\t{decision.sequence}\t{decision.page}\t{decision.batch}\t"
        f"{decision.outcome:d}\t{decision.step:d}\t"
    )
    end = f"\t{escape(decision.message)}\n"
    if any("\\" in key for key in keys):
        keys = [escape(key) for key in keys]
    return f"{head}{(end + head).join(keys)}{end}".encode()
