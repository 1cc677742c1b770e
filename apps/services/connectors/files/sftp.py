"""SFTP: authentication by password or private key, the host key of the server, and lost connections.

Imports paramiko, which takes a tenth of the start-up time of every process: import it where it is needed.
"""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import paramiko
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from fsspec.implementations.sftp import SFTPFileSystem

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.folder import report_unlisted, temporary_name, translate_errors
from apps.services.connectors.files.host_keys import RememberedHostKeys
from apps.services.connectors.files.sftp_streams import BUFFER_BYTES, SftpReader, SftpWriter, is_lost
from apps.services.connectors.stages import Stage, report
from apps.services.models import Connection
from apps.services.private_key import InvalidPrivateKey, openssh_text, read_private_key

logger = logging.getLogger(__name__)

_KEY_CLASSES = {
    Ed25519PrivateKey: paramiko.Ed25519Key,
    RSAPrivateKey: paramiko.RSAKey,
    EllipticCurvePrivateKey: paramiko.ECDSAKey,
}
# In seconds: firewalls close idle connections, often after a minute.
_KEEPALIVE_INTERVAL = 20


class _Client(paramiko.SSHClient):  # type: ignore[misc] # It ships no types.
    """SSH client that reports its stages."""

    def connect(self, hostname: str, **options: Any) -> None:
        super().connect(hostname, transport_factory=_transport, **options)

    def _auth(self, *args: Any) -> None:
        # Called once the host key is trusted.
        report(Stage.IDENTIFIED, self.get_transport().get_remote_server_key())
        super()._auth(*args)


def _transport(connected: socket.socket, **options: Any) -> paramiko.Transport:
    report(Stage.CONNECTED, connected)
    return paramiko.Transport(connected, **options)


class SftpFileSystem(SFTPFileSystem):  # type: ignore[misc] # It ships no types.
    """File system of an SFTP connection, which connects again if the server closes an idle connection."""

    cachable = False

    def __init__(
        self,
        connection: Connection,
        username: str = "",
        password: str = "",
        private_key: str = "",
        passphrase: str = "",
        host_keys: RememberedHostKeys | None = None,
    ) -> None:
        parts = urlsplit(connection.url)
        if not parts.hostname:
            raise ConnectorError(f"{connection.url} has no host; write one such as sftp://host/folder.")
        self._connection = connection
        # What is searched at this moment.
        self._pattern = ""
        self._host_keys = host_keys or RememberedHostKeys(connection.ssh_host)
        options: dict[str, Any] = {
            "port": parts.port or 22,
            "username": username or parts.username,
            "timeout": connection.connect_timeout,
        }
        if private_key:
            options["pkey"] = _paramiko_key(private_key, passphrase)
        elif password:
            options["password"] = password
        if private_key or password:
            # The worker's own keys are only for connections without authentication.
            options |= {"allow_agent": False, "look_for_keys": False}
        super().__init__(parts.hostname, **options)

    def _connect(self) -> None:
        port = self.ssh_kwargs["port"]
        client = _Client()
        self._host_keys.prepare(client, self.host if port == 22 else f"[{self.host}]:{port}")
        try:
            client.connect(self.host, **self.ssh_kwargs)
            client.get_transport().set_keepalive(_KEEPALIVE_INTERVAL)
            ftp = client.open_sftp()
        except Exception as error:
            client.close()
            raise self._explained(error) from error
        ftp.get_channel().settimeout(self._connection.read_timeout)
        self.client, self.ftp = client, ftp

    def close(self) -> None:
        self.client.close()

    def restore(self, ftp: paramiko.SFTPClient, error: Exception) -> None:
        """Connects again if `error` means that `ftp` lost its connection. Raises `error` otherwise."""
        if not is_lost(ftp, error):
            raise error
        # Another file may have restored the connection.
        if self.ftp is ftp:
            logger.info("The SFTP server %s closed the connection; connecting again.", self.host)
            self.client.close()
            with translate_errors(f"Connection {self._connection.name} cannot be opened again"):
                self._connect()

    def with_reconnect[Result](self, operation: Callable[[], Result]) -> Result:
        """The result of `operation`, which is repeated once after a lost connection."""
        ftp = self.ftp
        try:
            return operation()
        except Exception as error:  # noqa: BLE001 - raised again unless the connection is lost
            self.restore(ftp, error)
            return operation()

    def glob(self, path: str, **options: Any) -> Any:
        self._pattern = path
        return super().glob(path, **options)

    def ls(self, path: str, detail: bool = False) -> Any:
        """The listing of one folder, always of one connection."""
        operation = partial(super().ls, path, detail=detail)
        try:
            return self.with_reconnect(operation)
        except FileNotFoundError:
            raise
        except TimeoutError as error:
            raise ConnectorError(f"{path} cannot be listed: read timeout.") from error
        except OSError as error:
            # fsspec leaves out folders whose listing fails.
            report_unlisted(path.rstrip("/") or "/", error, self._pattern)
            raise

    def info(self, path: str) -> Any:
        return self.with_reconnect(partial(super().info, path))

    def exists(self, path: str, **_options: Any) -> bool:
        """Whether `path` exists; unlike in fsspec, a timeout is an error."""
        try:
            self.info(path)
        except TimeoutError:
            raise
        except OSError:
            return False
        return True

    def makedirs(self, path: str, exist_ok: bool = False, mode: int = 0o777) -> None:
        """Creates the folders that are missing, so that it can be repeated."""
        self.with_reconnect(partial(super().makedirs, path, exist_ok=exist_ok, mode=mode))

    def mv(self, old: str, new: str, **_options: Any) -> None:
        """Renames `old` and replaces `new`."""
        self._rename(old, new, self._replace)

    def mv_new(self, old: str, new: str) -> bool:
        """Renames `old`; False if `new` exists, which stays as it is."""
        try:
            # The protocol demands an error if `new` exists, and OpenSSH checks it atomically.
            self._rename(old, new, lambda old, new: self.ftp.rename(old, new))
        except OSError:
            if self.exists(old) and self.exists(new):
                return False
            raise
        return True

    def _rename(self, old: str, new: str, operation: Callable[[str, str], None]) -> None:
        """After a lost connection it looks whether the server has renamed the file, and repeats only if not."""
        ftp = self.ftp
        try:
            operation(old, new)
        except Exception as error:
            self.restore(ftp, error)
            if self.exists(old):
                operation(old, new)
            elif not self.exists(new):
                raise

    def _replace(self, old: str, new: str) -> None:
        try:
            self.ftp.posix_rename(old, new)
        except OSError as error:
            # Servers without this extension of OpenSSH return an error without a number.
            if error.errno or is_lost(self.ftp, error):
                raise
            self._replace_in_steps(old, new)

    def _replace_in_steps(self, old: str, new: str) -> None:
        """Renames an existing file first: many servers do not replace it. It is restored if the second step fails."""
        if not self.exists(new):
            self.ftp.rename(old, new)
            return
        folder, _slash, name = new.rpartition("/")
        previous = f"{folder}/{temporary_name(name)}"
        self.ftp.rename(new, previous)
        try:
            self.ftp.rename(old, new)
        except OSError:
            self.ftp.rename(previous, new)
            raise
        self.ftp.remove(previous)

    def _rm(self, path: str) -> None:
        ftp = self.ftp
        try:
            super()._rm(path)
        except Exception as error:  # noqa: BLE001 - raised again unless the connection is lost
            self.restore(ftp, error)
            if self.exists(path):
                super()._rm(path)

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> Any:
        if mode == "rb":
            return io.BufferedReader(SftpReader(self, path), BUFFER_BYTES)
        return io.BufferedWriter(SftpWriter(self, path), BUFFER_BYTES)

    def _explained(self, error: Exception) -> Exception:
        """`error`, with what to do if the server or its key is refused."""
        if isinstance(error, paramiko.BadHostKeyException):
            return self._host_keys.changed(error.key)
        if not isinstance(error, paramiko.AuthenticationException):
            return error
        beginning = f"Connection {self._connection.name} cannot be opened: "
        key = self.ssh_kwargs.get("pkey")
        if isinstance(error, paramiko.BadAuthenticationType) and (
            key is None or "publickey" not in error.allowed_types
        ):
            kind = "passwords" if key is None else "private keys"
            return ConnectorError(
                f"{beginning}the server does not accept {kind}, only {', '.join(error.allowed_types)}. Choose "
                "another authentication in the settings of the connection."
            )
        if key is not None:
            return ConnectorError(
                f"{beginning}Authentication failed. The server refused the key {key.get_name()} "
                f"{key.fingerprint} for the user {self.ssh_kwargs['username']}. Add this public key to the "
                f"authorized keys of the user: {key.get_name()} {key.get_base64()}"
            )
        return ConnectorError(f"{beginning}Authentication failed. Check user name and password.")


def _paramiko_key(text: str, passphrase: str) -> paramiko.PKey:
    try:
        key = read_private_key(text, passphrase)
    except InvalidPrivateKey as error:
        raise ConnectorError(str(error)) from None
    key_class = next(each for kind, each in _KEY_CLASSES.items() if isinstance(key, kind))
    return key_class.from_private_key(io.StringIO(openssh_text(key)))
