"""Spool of the reporter: a folder for each run, which survives the process."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

# Limits of one batch; the server takes 10,000 lines and 8 MiB.
_LINES, _BYTES = 5000, 2 * 1024 * 1024


class Spool:
    """Folder of one run: its description, lines, files and result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        self._lines = -1
        self._size = 0

    def create(self, description: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        self.lock()
        self.write("run", description)
        self._lines = os.open(self.folder / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def lock(self) -> bool:
        """Locks the folder until this process ends; False if another process has it."""
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            return False
        return True

    def release(self) -> None:
        if self._lines >= 0:
            os.close(self._lines)
            self._lines = -1
        if self._lock is not None:
            self._lock.close()

    def append(self, line: dict[str, Any]) -> None:
        """Appends one line completely or not at all. Raises OSError."""
        data = json.dumps(line).encode() + b"\n"
        try:
            written = os.write(self._lines, data)
            if written < len(data):
                os.write(self._lines, data[written:])
        except OSError:
            os.ftruncate(self._lines, self._size)
            raise
        self._size += len(data)

    def write(self, name: str, document: dict[str, Any]) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(json.dumps(document))
        new.replace(self.folder / f"{name}.json")

    def read(self, name: str) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return document

    def batch(self, offset: int) -> list[bytes]:
        """Complete lines from `offset`, at most one batch."""
        try:
            with (self.folder / "lines").open("rb") as file:
                file.seek(offset)
                data = file.read(_BYTES)
        except FileNotFoundError:
            # Its process ended before the first line.
            return []
        return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)[:_LINES]


def abandoned_spools(folder: Path, url: str) -> Iterator[Spool]:
    """Spools of runs whose process has ended; an incomplete one gets an end."""
    for path in sorted(folder.glob("*/run.json")):
        spool = Spool(path.parent)
        description = spool.read("run")
        if description is None or description["url"] != url or not spool.lock():
            continue
        if spool.read("end") is None:
            reason = "The reporting process ended before the run did."
            spool.write("end", {"status": "failed", "error": reason})
        yield spool
