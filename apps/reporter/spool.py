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
    """Folder of one run: its description, lines, records, files and result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        # Descriptors and sizes of the files of lines and records.
        self._open: dict[str, int] = {}
        self._sizes = {"lines": 0, "records": 0}

    def create(self, description: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        self.lock()
        self.write("run", description)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._open = {name: os.open(self.folder / name, flags, 0o600) for name in self._sizes}

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
        while self._open:
            os.close(self._open.popitem()[1])
        if self._lock is not None:
            self._lock.close()

    def append(self, document: dict[str, Any], name: str = "lines") -> None:
        """Appends a line or a record, completely or not at all. Raises OSError."""
        data = json.dumps(document).encode() + b"\n"
        try:
            written = os.write(self._open[name], data)
            if written < len(data):
                os.write(self._open[name], data[written:])
        except OSError:
            os.ftruncate(self._open[name], self._sizes[name])
            raise
        self._sizes[name] += len(data)

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

    def batch(self, offset: int, name: str = "lines") -> list[bytes]:
        """Complete lines or records from `offset`, at most one batch."""
        try:
            with (self.folder / name).open("rb") as file:
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
