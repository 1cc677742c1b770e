"""Interface of folders and of files being written, and the translation of their errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import BinaryIO, Protocol

from apps.services.connectors.base import ConnectorError, FileInfo

logger = logging.getLogger(__name__)


class PendingFile(Protocol):
    """A file that is written under a temporary name."""

    stream: BinaryIO

    def commit(self) -> None:
        """Gives the complete file its final name, replacing an existing file."""
        ...

    def discard(self) -> None:
        """Deletes the incomplete file."""
        ...


class Folder(Protocol):
    """A folder of some file system; names are relative to it and use /."""

    def files(self, pattern: str) -> Iterator[FileInfo]:
        """The files that match `pattern`, sorted by their names. Raises ConnectorError."""
        ...

    def info(self, name: str) -> FileInfo | None:
        """The file at this moment, None if there is none. Raises ConnectorError."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading. Raises ConnectorError."""
        ...

    def create(self, name: str) -> PendingFile:
        """Creates a file for writing, and its folders. Raises ConnectorError."""
        ...

    def move(self, name: str, target: str) -> bool:
        """Moves a file; False if `target` exists, which stays as it is. Raises ConnectorError."""
        ...

    def delete(self, name: str) -> None:
        """Deletes a file. Raises ConnectorError."""
        ...

    def close(self) -> None:
        """Closes the connection to the server, if there is one."""
        ...


def temporary_name(name: str) -> str:
    """A unique temporary name beside `name`; its leading dot keeps it out of wildcards."""
    return f".{name}.{token_hex(6)}.part"


def is_temporary(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.startswith(".") and base.endswith(".part")


def report_unlisted(folder: str, error: OSError, pattern: str) -> None:
    """Raises ConnectorError for a folder that cannot be listed.

    Below ** it is a warning: the search may meet folders that are not meant, such as lost+found.
    """
    reason = error.strerror or error
    if "**" not in pattern:
        raise ConnectorError(f"{folder} cannot be listed: {reason}.") from error
    logger.warning("%s left out: it cannot be listed: %s", folder, reason)


@contextmanager
def translate_errors(what: str, *, may_have_arrived: bool = False) -> Iterator[None]:
    """Turns an error of the file system into a ConnectorError that begins with `what`."""
    try:
        yield
    except ConnectorError as error:
        error.may_have_arrived |= may_have_arrived
        raise
    except Exception as error:
        # Each fsspec file system raises errors of its own library.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        failure = ConnectorError(f"{what}: {reason.rstrip('.') or type(error).__name__}.")
        failure.may_have_arrived = may_have_arrived
        raise failure from error
