"""An SFTP server in a thread: paramiko's server over a local folder."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

USER, PASSWORD = "me", "open sesame"


class _Authentication(paramiko.ServerInterface):
    def __init__(self, usernames: list[str]) -> None:
        self._usernames = usernames

    def check_auth_password(self, username: str, password: str) -> int:
        self._usernames.append(username)
        is_known = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


class _Files(paramiko.SFTPServerInterface):
    root: Path
    # While clear, opening a file waits.
    may_read: threading.Event
    # Whether the server supports the extension that replaces an existing file.
    replaces: bool

    def _path(self, path: str) -> Path:
        return self.root / self.canonicalize(path).lstrip("/")

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        with _error_status() as failed:
            return [
                paramiko.SFTPAttributes.from_stat(found.stat(), found.name)
                for found in self._path(path).iterdir()
            ]
        return failed[0]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        with _error_status() as failed:
            return paramiko.SFTPAttributes.from_stat(self._path(path).stat())
        return failed[0]

    lstat = stat

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> _Handle | int:
        self.may_read.wait(60)
        with _error_status() as failed:
            descriptor = os.open(self._path(path), flags, 0o644)
            handle = _Handle(flags)
            handle.readfile = handle.writefile = os.fdopen(descriptor, "wb" if flags & os.O_WRONLY else "rb")
            return handle
        return failed[0]

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        with _error_status() as failed:
            self._path(path).mkdir()
        return failed[0]

    def remove(self, path: str) -> int:
        with _error_status() as failed:
            self._path(path).unlink()
        return failed[0]

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        if not self.replaces:
            return paramiko.SFTP_OP_UNSUPPORTED
        with _error_status() as failed:
            self._path(oldpath).replace(self._path(newpath))
        return failed[0]

    def rename(self, oldpath: str, newpath: str) -> int:
        if self._path(newpath).exists():
            return paramiko.SFTP_FAILURE
        with _error_status() as failed:
            self._path(oldpath).rename(self._path(newpath))
        return failed[0]


@contextmanager
def _error_status() -> Iterator[list[int]]:
    outcome = [paramiko.SFTP_OK]
    try:
        yield outcome
    except OSError as error:
        outcome[0] = paramiko.SFTPServer.convert_errno(error.errno or 0)


@contextmanager
def sftp_server(
    folder: Path,
    *,
    may_read: threading.Event | None = None,
    usernames: list[str] | None = None,
    replaces: bool = True,
) -> Iterator[int]:
    """Serves `folder` and yields the port.

    While `may_read` is clear, opening a file waits. `usernames` collects the users that authenticate.
    """
    usernames = [] if usernames is None else usernames
    if may_read is None:
        may_read = threading.Event()
        may_read.set()
    files = type("Files", (_Files,), {"root": folder, "may_read": may_read, "replaces": replaces})
    key = paramiko.ECDSAKey.generate()
    transports = []

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _address = listener.accept()
                transport = paramiko.Transport(client)
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
                transports.append(transport)
                transport.start_server(event=threading.Event(), server=_Authentication(usernames))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            may_read.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for transport in transports:
                transport.close()
