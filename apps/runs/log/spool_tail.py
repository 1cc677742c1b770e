"""Tail of a log beyond its limit: the head stays in the spool, the middle is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def append_whole(descriptor: int, data: bytes, size: int) -> None:
    """Appends all of the data to a file of `size` bytes, or nothing. Raises OSError."""
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


class Tail:
    """Two files beside the spool that are written in turn: when one is full, the older one is overwritten.

    `head` is the number of the last line of the head. Numbering continues from there, so that the first line of the
    tail shows how many lines were left out, even after a crash.
    """

    def __init__(self, spool: Path, head: int, *, max_lines: int = 0, max_bytes: int = 0) -> None:
        self.head = head
        self._files = [spool.with_suffix(f".tail-{head}-{number}") for number in (0, 1)]
        # Each file takes half of the tail.
        self._max_lines, self._max_bytes = max(max_lines // 2, 1), max_bytes // 2
        self._descriptor: int | None = None
        self._turn = 0
        self._lines = self._size = 0

    def append(self, line: bytes) -> None:
        """Appends one line completely or not at all. Raises OSError."""
        descriptor = self._descriptor
        if descriptor is None or self._lines >= self._max_lines or self._size > self._max_bytes:
            descriptor = self._switch_file()
        append_whole(descriptor, line, self._size)
        self._lines += 1
        self._size += len(line)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def omitted_count(self) -> int:
        """Number of lines left out between head and tail."""
        for line in self._tail_lines():
            return _number(line) - self.head - 1
        return 0

    def lines_after_head(self) -> Iterator[bytes]:
        """The lines after the head: a line that says how many are left out, and the latest lines.

        They keep their original numbers. Without omitted lines there is no such line.
        """
        omitted = self.omitted_count
        for line in self._tail_lines():
            if omitted:
                run_id, number, logged_at, _level, step, _message = line.split(b"\t", 5)
                notice = f"… {omitted:,} {'line' if omitted == 1 else 'lines'} left out …".encode()
                yield b"\t".join((run_id, number, logged_at, b"30", step, notice)) + b"\n"
                omitted = 0
            yield line

    def _switch_file(self) -> int:
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._descriptor = os.open(self._files[self._turn], flags, 0o600)
        self._turn = 1 - self._turn
        self._lines = self._size = 0
        return self._descriptor

    def _tail_lines(self) -> Iterator[bytes]:
        """The lines of the tail, in order."""
        files = [path for path in self._files if next(_whole_lines(path), None) is not None]
        for path in sorted(files, key=lambda path: _number(next(_whole_lines(path)))):
            yield from _whole_lines(path)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Complete lines of a file; an incomplete last line is ignored."""
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def tail_of(spool: Path) -> Tail | None:
    """The tail beside a spool, None if its log is within the limit."""
    for path in spool.parent.glob(f"{spool.stem}.tail-*"):
        return Tail(spool, int(path.suffix.split("-")[1]))
    return None


def _number(line: bytes) -> int:
    return int(line.split(b"\t", 2)[1])
