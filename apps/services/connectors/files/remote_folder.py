"""Folders on other hosts and in object stores, through fsspec."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.spec import AbstractFileSystem

from apps.services.connectors.address_guard import check_host
from apps.services.connectors.base import ConnectorError, FileInfo
from apps.services.connectors.files.folder import is_temporary, temporary_name, translate_errors
from apps.services.models import Connection
from apps.services.models.connection import SSH_SCHEMES
from apps.services.secrets import SecretUnavailable

if TYPE_CHECKING:
    # Imports paramiko.
    from apps.services.connectors.files.host_keys import RememberedHostKeys

# PyPI package of a file system that fsspec does not include.
_PACKAGES = {
    "abfs": "adlfs",
    "az": "adlfs",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "s3": "s3fs",
    "s3a": "s3fs",
    "sftp": "paramiko",
    "smb": "smbprotocol",
    "ssh": "paramiko",
}
# Names of the options for user and secret in each file system.
_CREDENTIAL_OPTIONS = {
    "abfs": ("account_name", "account_key"),
    "az": ("account_name", "account_key"),
    "ftp": ("username", "password"),
    "s3": ("key", "secret"),
    "s3a": ("key", "secret"),
    "sftp": ("username", "password"),
    "smb": ("username", "password"),
    "ssh": ("username", "password"),
}
OBJECT_STORES = ("abfs", "az", "gcs", "gs", "s3", "s3a")
# Names of the time of the last change in each file system.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "last_write_time", "modify", "created")


class RemoteFolder:
    """Folder of a connection that is not `file://`."""

    def __init__(self, connection: Connection, host_keys: RememberedHostKeys | None = None) -> None:
        """`host_keys` decides whether the SSH server is trusted, by default those that are remembered."""
        scheme = urlsplit(connection.url).scheme
        if host := urlsplit(connection.url).hostname:
            check_host(host)
        try:
            with translate_errors(f"Connection {connection.name} cannot be opened"):
                self._fs, root = _filesystem(connection, scheme, host_keys)
        except ConnectorError as error:
            if isinstance(error.__cause__, ImportError) and scheme in _PACKAGES:
                raise ConnectorError(
                    f"Connection {connection.name}: {scheme}:// needs the package {_PACKAGES[scheme]}. "
                    f"Install it: pip install {_PACKAGES[scheme]}"
                ) from None
            raise
        self._root = str(root).rstrip("/")
        self.is_object_store = scheme in OBJECT_STORES

    @property
    def path(self) -> str:
        return self._root or "/"

    def file_above(self) -> str:
        """The file in place of a folder above this one, which prevents its creation; empty if there is none."""
        for parent in map(str, PurePosixPath(self._root).parents):
            with translate_errors(f"{parent} cannot be opened"):
                try:
                    entry = self._fs.info(parent)
                except FileNotFoundError:
                    continue
            return parent if entry["type"] == "file" else ""
        return ""

    def entry_count(self) -> int | None:
        """The number of entries of the folder itself; None in an object store, where counting them may take long.

        Raises ConnectorError if the folder cannot be opened.
        """
        with translate_errors(f"The folder {self.path} cannot be opened"):
            if not self.is_object_store:
                return len(self._fs.ls(self.path, detail=False))
            try:
                self._fs.info(self._root)
            except FileNotFoundError:
                # A prefix exists once an object has it.
                self._fs.info(self._root.partition("/")[0])
        return None

    def files(self, pattern: str) -> Iterator[FileInfo]:
        with translate_errors(f"The files {pattern} cannot be listed"):
            found = self._fs.glob(f"{glob.escape(self._root)}/{pattern}", detail=True)
        for path, entry in sorted(found.items()):
            if entry["type"] in ("file", "link") and not is_temporary(path):
                name = self._relative(path)
                file = _file_info(name, entry) if entry["type"] == "file" else self.info(name)
                if file is not None:
                    yield file

    def info(self, name: str) -> FileInfo | None:
        with translate_errors(f"{name} cannot be opened"):
            try:
                entry = self._fs.info(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
        return _file_info(name, entry) if entry["type"] == "file" else None

    def open(self, name: str) -> BinaryIO:
        with translate_errors(f"{name} cannot be opened"):
            return cast("BinaryIO", self._fs.open(f"{self._root}/{name}", "rb"))

    def create(self, name: str) -> PendingRemoteFile:
        with translate_errors(f"{name} cannot be written"):
            return PendingRemoteFile(self._fs, f"{self._root}/{name}")

    def move(self, name: str, target: str) -> bool:
        if self.info(target) is not None:
            return False
        old, new = f"{self._root}/{name}", f"{self._root}/{target}"
        with translate_errors(f"{name} cannot be moved to {target}"):
            self._fs.makedirs(str(PurePosixPath(new).parent), exist_ok=True)
            if hasattr(self._fs, "mv_new"):
                return bool(self._fs.mv_new(old, new))
            _rename(self._fs, old, new)
        return True

    def delete(self, name: str) -> None:
        with translate_errors(f"{name} cannot be deleted"):
            self._fs.rm_file(f"{self._root}/{name}")

    def close(self) -> None:
        # Other file systems close their connections by themselves.
        if hasattr(self._fs, "close"):
            self._fs.close()

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")


class PendingRemoteFile:
    """A file that is renamed when it is complete; an object store copies it and deletes the original."""

    def __init__(self, fs: Any, target: str) -> None:
        self._fs = fs
        self._target = target
        path = PurePosixPath(target)
        self._temporary = str(path.with_name(temporary_name(path.name)))
        fs.makedirs(str(path.parent), exist_ok=True)
        self.stream: BinaryIO = fs.open(self._temporary, "wb")

    def commit(self) -> None:
        with translate_errors(f"{self._target} cannot be written"):
            self.stream.close()
        with translate_errors(f"{self._target} cannot be written", may_have_arrived=True):
            _rename(self._fs, self._temporary, self._target)

    def discard(self) -> None:
        with translate_errors(f"{self._temporary} cannot be deleted"):
            try:
                # Writes what is buffered, which fails on a full disk.
                self.stream.close()
            finally:
                self._fs.rm_file(self._temporary)


def _rename(fs: Any, old: str, new: str) -> None:
    """Renames `old` and replaces `new`."""
    if type(fs).mv is not AbstractFileSystem.mv:
        fs.mv(old, new)
    else:
        # Not `mv`, which takes names with brackets as patterns.
        fs.cp_file(old, new)
        fs.rm_file(old)


def _file_info(name: str, entry: Mapping[str, Any]) -> FileInfo:
    modified_at = next((entry[key] for key in _TIMES if entry.get(key)), None)
    etag = entry.get("ETag") or entry.get("etag") or ""
    return FileInfo(name, int(entry.get("size") or 0), _nanoseconds(modified_at), str(etag))


def _nanoseconds(time: Any) -> int | None:
    """The time of a file in nanoseconds; each file system has its own type."""
    if isinstance(time, str):
        try:
            # FTP, RFC 3659: 20260315120000.
            time = datetime.strptime(f"{time[:14]}Z", "%Y%m%d%H%M%S%z")
        except ValueError:
            return None
    if isinstance(time, datetime):
        time = time.timestamp()
    return int(time * 1_000_000) * 1000 if isinstance(time, int | float) else None


def _filesystem(connection: Connection, scheme: str, host_keys: RememberedHostKeys | None) -> tuple[Any, str]:
    """A new file system for `connection`, and the path within it."""
    options = authentication_options(connection, scheme)
    if scheme in SSH_SCHEMES:
        # Imports paramiko, which takes a tenth of the start-up time of every process.
        from apps.services.connectors.files.sftp import SftpFileSystem

        return SftpFileSystem(connection, host_keys=host_keys, **options), urlsplit(connection.url).path
    if scheme == "ftp":
        options["timeout"] = connection.connect_timeout
    options["use_listings_cache"] = False
    fs, root = fsspec.core.url_to_fs(connection.url, skip_instance_cache=True, **options)
    return fs, root


def authentication_options(connection: Connection, scheme: str) -> dict[str, Any]:
    """Options of the file system. Raises ConnectorError if the authentication is not supported or not available."""
    if connection.auth == Connection.Auth.NONE:
        return {}
    is_key = connection.auth == Connection.Auth.KEY and scheme in SSH_SCHEMES
    if not is_key and (connection.auth != Connection.Auth.BASIC or scheme not in _CREDENTIAL_OPTIONS):
        raise ConnectorError(
            f"Connection {connection.name}: {scheme}:// does not support "
            f"“{connection.get_auth_display()}”; use basic authentication or none."
        )
    try:
        secret = connection.get_secret()
        passphrase = connection.get_passphrase()
    except SecretUnavailable as error:
        raise ConnectorError(f"Connection {connection.name}: {error}") from None
    if is_key:
        return {"username": connection.auth_username, "private_key": secret, "passphrase": passphrase}
    user_option, secret_option = _CREDENTIAL_OPTIONS[scheme]
    return {user_option: connection.auth_username, secret_option: secret}
