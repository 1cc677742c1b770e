"""Files on SFTP servers that are read and written across a lost connection."""

from __future__ import annotations

import io
from collections.abc import Buffer
from typing import Any, Protocol

import paramiko

from apps.services.connectors.base import ConnectorError

# The most that a request may contain.
BUFFER_BYTES = 32 * 1024


class Reconnecting(Protocol):
    """A file system that connects again after a lost connection."""

    ftp: paramiko.SFTPClient

    def restore(self, ftp: paramiko.SFTPClient, error: Exception) -> None: ...
    def with_reconnect(self, operation: Any) -> Any: ...


def is_lost(ftp: paramiko.SFTPClient, error: Exception) -> bool:
    """Whether `error` means that `ftp` has lost its connection."""
    if isinstance(error, EOFError | ConnectionError | paramiko.SSHException):
        return True
    channel = ftp.get_channel()
    return bool(channel.closed or not channel.get_transport().is_active())


class SftpReader(io.RawIOBase):
    """Reads a file; after a lost connection it continues at the same place, unless the file has changed."""

    def __init__(self, fs: Reconnecting, path: str) -> None:
        super().__init__()
        self._fs = fs
        self._path = path
        self._position = 0
        # None if it cannot be opened.
        self._file: Any = None
        self._file = fs.with_reconnect(self._open)
        self._version = self._current_version()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._version[0]}[whence]
        self._position = start + offset
        self._file.seek(self._position)
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        try:
            data = self._file.read(len(view))
            if len(data) < len(view):
                # Paramiko takes a lost connection for the end of the file: only a response proves the end.
                self._file.stat()
        except Exception as error:  # noqa: BLE001 - raised again unless the connection is lost
            self._fs.restore(self._file.sftp, error)
            self._file = self._open()
            if self._current_version() != self._version:
                raise ConnectorError(
                    f"{self._path} has changed while it was read, after the connection was lost. Run the service again."
                ) from None
            self._file.seek(self._position)
            data = self._file.read(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            _close(self._file)

    def _open(self) -> Any:
        return self._fs.ftp.open(self._path, "rb", bufsize=0)

    def _current_version(self) -> tuple[Any, Any]:
        attributes = self._file.stat()
        return attributes.st_size, attributes.st_mtime


class SftpWriter(io.RawIOBase):
    """Writes a new file whose name nobody else knows.

    After a lost connection it writes the same bytes at the same place, so that nothing is doubled.
    """

    def __init__(self, fs: Reconnecting, path: str) -> None:
        super().__init__()
        self._fs = fs
        self._path = path
        # Bytes that the server has confirmed.
        self._position = 0
        self._file: Any = None
        self._file = fs.with_reconnect(lambda: fs.ftp.open(path, "wb", bufsize=0))

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        block = bytes(data)
        try:
            self._file.write(block)
        except Exception as error:  # noqa: BLE001 - raised again unless the connection is lost
            self._fs.restore(self._file.sftp, error)
            self._file = self._fs.ftp.open(self._path, "r+b", bufsize=0)
            if (self._file.stat().st_size or 0) < self._position:
                raise ConnectorError(
                    f"{self._path} has lost data while it was written, after the connection was lost. Run the "
                    "service again."
                ) from None
            self._file.seek(self._position)
            self._file.write(block)
        self._position += len(block)
        return len(block)

    def close(self) -> None:
        if not self.closed:
            super().close()
            _close(self._file)


def _close(file: Any) -> None:
    """Closes `file`, if it is open; a server that is gone has closed it already."""
    try:
        if file is not None:
            file.close()
    except Exception as error:
        if not is_lost(file.sftp, error):
            raise
