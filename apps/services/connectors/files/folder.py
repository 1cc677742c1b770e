"""What the connector `file` needs of the place where files live, and how its failures are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import BinaryIO, Protocol

from apps.services.connectors.base import ConnectorError


class PendingFile(Protocol):
    """A file being written under a temporary name, which nobody takes for the whole one."""

    stream: BinaryIO

    def keep(self) -> None:
        """Gives the whole file its name, in place of the one that had it before."""
        ...

    def discard(self) -> None:
        """Takes the unfinished file away."""
        ...


class Folder(Protocol):
    """A folder of some filesystem; names are relative to it and parted by /."""

    def matching(self, pattern: str) -> list[str]:
        """The files that `pattern` names, sorted. Raises ConnectorError."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A stream over the bytes of a file. Raises ConnectorError."""
        ...

    def create(self, name: str) -> PendingFile:
        """A file to be written; folders on the way to it are made. Raises ConnectorError."""
        ...


def temporary_name(name: str) -> str:
    """A name beside `name` that no other run has; a leading dot keeps it out of wildcards."""
    return f".{name}.{token_hex(6)}.part"


def is_temporary(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.startswith(".") and base.endswith(".part")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turns a failure of the filesystem into a ConnectorError that begins with `what`."""
    try:
        yield
    except ConnectorError:
        raise
    except Exception as error:
        # Each filesystem of fsspec raises errors of its own library.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConnectorError(f"{what}: {reason or type(error).__name__}.") from error
