"""The spool: one append-only file a run, where a line is safe as soon as its logging call returns.

It is written in the text format of PostgreSQL's COPY, so that the shipper can hand it over without reading
it: run, sequence, time, level, step and message, parted by tabs, a line each; a tab, line feed or backslash
within a message is escaped by a backslash.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from apps.runs.log.spool_tail import Tail, append_whole, tail_of

_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})
_ESCAPE_SEQUENCE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}

# Bytes that are read, and so shipped, at once.
CHUNK_BYTES = 1024 * 1024
# Bytes that the count of lost lines takes on the disk from the beginning, so that a full one takes it too.
_LOSSES_BYTES = 512


class SpoolLine(NamedTuple):
    """One line as it stands in the spool, and as a row takes it; `logged_at` is UTC without a zone."""

    run_id: int
    sequence: int
    logged_at: str
    level: int
    step: int
    message: str


def escape(message: str) -> str:
    if "\\" in message or "\n" in message or "\t" in message:
        return message.translate(_ESCAPED)
    return message


def format_line(run_id: int, sequence: int, logged_at: str, level: int, step: int, message: str) -> bytes:
    """One line as it stands in the spool; `logged_at` as `time_text` writes it."""
    return f"{run_id}\t{sequence}\t{logged_at}\t{level:d}\t{step:d}\t{escape(message)}\n".encode()


def time_text(seconds: float) -> str:
    """A time since the epoch as the spool writes it: in UTC, with microseconds."""
    whole = int(seconds)
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((seconds - whole) * 1_000_000):06d}+00"


def sequence_of(line: bytes) -> int:
    """The number of a line. Raises ValueError where it is none."""
    return int(line.partition(b"\t")[2].partition(b"\t")[0])


def renumbered(chunk: bytes, first: int) -> bytes:
    """The lines of a chunk, numbered from `first` on."""
    parts = (line.split(b"\t", 2) for line in chunk.splitlines(keepends=True))
    return b"".join(
        b"%b\t%d\t%b" % (run_id, sequence, rest) for sequence, (run_id, _old, rest) in enumerate(parts, first)
    )


def parse_lines(chunk: bytes) -> Iterator[SpoolLine]:
    """The lines of a chunk that ends with a line feed."""
    for text in chunk.decode().split("\n")[:-1]:
        run_id, sequence, logged_at, level, step, message = text.split("\t", 5)
        if "\\" in message:
            message = _ESCAPE_SEQUENCE.sub(lambda match: _UNESCAPED[match.group(1)], message)
        yield SpoolLine(int(run_id), int(sequence), logged_at[:-3], int(level), int(step), message)


class Spool:
    """The file of one run. Whoever holds its lock is its one writer; the lock goes with the process.

    Beside it stands what the disk did not take (`.lost`), and may stand how the run ended (`.end`), and the latest
    lines of a log that outgrew its limit.
    """

    def __init__(self, run_id: int) -> None:
        self.path: Path = settings.SPOOL_DIR / f"run-{run_id}.spool"
        # Whether we hold the lock.
        self.is_ours = False
        # Lines left out between the head and the tail of a log that outgrew its limit.
        self.omitted_count = 0
        self._descriptor: int | None = None
        self._losses: int | None = None
        # Bytes written, all of whole lines.
        self.size = 0

    def open(self) -> None:
        """Open for appending; a line that a crash left half written is taken away.

        Raises OSError where that cannot be, BlockingIOError where another process writes it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._begin()
        self._losses = os.open(self._losses_path, os.O_RDWR | os.O_CREAT, 0o600)
        # Its place is taken now, while the disk has room.
        self.note_losses(*(self.losses() or (0, "")))

    def take_up(self) -> bool:
        """Open what another process left; False where that process lives: then it is only to be read.

        Raises OSError, FileNotFoundError where there is none.
        """
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._begin()
        self.fold(tail_of(self.path))
        return True

    def _begin(self) -> None:
        self.is_ours = True
        self.size = self._end_of_last_line()
        os.ftruncate(self._opened(), self.size)

    def fold(self, tail: Tail | None) -> None:
        """Append the latest lines of a log that outgrew its limit, behind a line that says how many are left out.

        May be broken off, and done again.
        """
        if tail is None:
            return
        self.omitted_count = tail.omitted_count
        done = self.last_sequence() - tail.head
        for sequence, line in enumerate(tail.closing_lines(), tail.head + 1):
            if sequence - tail.head > done:
                self.append(renumbered(line, sequence))

    def note_end(self, end: dict[str, Any]) -> None:
        """Keep beside the spool how the run ended, until the database knows. Raises OSError."""
        draft = self.path.with_suffix(".end-draft")
        draft.write_text(json.dumps(end))
        draft.replace(self.path.with_suffix(".end"))

    def end(self) -> dict[str, Any] | None:
        """What `note_end` kept; None where it kept nothing."""
        try:
            end: dict[str, Any] = json.loads(self.path.with_suffix(".end").read_text())
        except (OSError, ValueError):
            return None
        return end

    def note_losses(self, count: int, reason: str) -> None:
        """Keep beside the spool how many lines the disk did not take, and why. Raises OSError."""
        if self._losses is not None:
            note = json.dumps([count, reason[: _LOSSES_BYTES // 8]])
            os.pwrite(self._losses, note.ljust(_LOSSES_BYTES).encode(), 0)

    def losses(self) -> tuple[int, str] | None:
        """What `note_losses` kept; None where no line was lost, as far as is known."""
        try:
            count, reason = json.loads(self._losses_path.read_text())
        except (OSError, ValueError):
            return None
        return (count, reason) if count else None

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all. Raises OSError where the disk does not take it."""
        append_whole(self._opened(), line, self.size)
        self.size += len(line)

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
        return sequence_of(lines[-2]) if len(lines) > 1 else 0

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self.is_ours = False
        if self._losses is not None:
            os.close(self._losses)
            self._losses = None

    def remove(self) -> None:
        """Take the file away, and what stands beside it; whoever has it open can still read it."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".end").unlink(missing_ok=True)
        self._losses_path.unlink(missing_ok=True)
        for beside in self.path.parent.glob(f"{self.path.stem}.tail-*"):
            beside.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Keep a file that cannot be shipped, for people to look at."""
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
    """The runs that have a spool on this host."""
    folder: Path = settings.SPOOL_DIR
    numbers = (path.stem.removeprefix("run-") for path in folder.glob("run-*.spool"))
    return sorted(int(number) for number in numbers if number.isdecimal())
