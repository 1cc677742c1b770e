"""The latest lines of a log that outgrew its limit: its head stays in the spool, its middle is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def append_whole(descriptor: int, data: bytes, size: int) -> None:
    """Append to a file of `size` bytes all of the data, or nothing. Raises OSError."""
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


class Tail:
    """Two files beside the spool that are written in turn: when one is full, the older gives way.

    `head` is the number of the last line of the head. Lines go on counting from there, so that the first one
    that is kept tells how many were left out, also to somebody who finds the files after a crash.
    """

    def __init__(self, spool: Path, head: int, *, most_lines: int = 0, most_bytes: int = 0) -> None:
        self.head = head
        self._files = [spool.with_suffix(f".tail-{head}-{number}") for number in (0, 1)]
        # A file takes half of what the tail may hold.
        self._most_lines, self._most_bytes = max(most_lines // 2, 1), most_bytes // 2
        self._descriptor: int | None = None
        self._turn = 0
        self._lines = self._size = 0

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all. Raises OSError where the disk does not take it."""
        descriptor = self._descriptor
        if descriptor is None or self._lines >= self._most_lines or self._size > self._most_bytes:
            descriptor = self._turn_over()
        append_whole(descriptor, line, self._size)
        self._lines += 1
        self._size += len(line)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def omitted_count(self) -> int:
        """Lines that were left out between the head and those that are kept."""
        for line in self._kept():
            return _number(line) - self.head - 1
        return 0

    def closing_lines(self) -> Iterator[bytes]:
        """What follows the head: a line that says how many are left out, and the latest ones.

        They bear the numbers that they would have had. Where nothing was left out, nothing is said.
        """
        omitted = self.omitted_count
        for line in self._kept():
            if omitted:
                run_id, number, logged_at, _level, step, _message = line.split(b"\t", 5)
                notice = f"… {omitted:,} {'line' if omitted == 1 else 'lines'} left out …".encode()
                yield b"\t".join((run_id, number, logged_at, b"30", step, notice)) + b"\n"
                omitted = 0
            yield line

    def _turn_over(self) -> int:
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._descriptor = os.open(self._files[self._turn], flags, 0o600)
        self._turn = 1 - self._turn
        self._lines = self._size = 0
        return self._descriptor

    def _kept(self) -> Iterator[bytes]:
        """The lines that are kept, in order."""
        files = [path for path in self._files if next(_whole_lines(path), None) is not None]
        for path in sorted(files, key=lambda path: _number(next(_whole_lines(path)))):
            yield from _whole_lines(path)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file; one that a crash left half written is none."""
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def tail_of(spool: Path) -> Tail | None:
    """The tail that stands beside a spool; None where its log is within the limit."""
    for path in spool.parent.glob(f"{spool.stem}.tail-*"):
        return Tail(spool, int(path.suffix.split("-")[1]))
    return None


def _number(line: bytes) -> int:
    return int(line.split(b"\t", 2)[1])
