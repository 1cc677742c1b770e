"""SFTP: authentication by password or private key, and the host key of the server.

Imports paramiko, which takes a tenth of the start-up time of every process: import it where it is needed.
"""

from __future__ import annotations

from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import paramiko
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from fsspec.implementations.sftp import SFTPFileSystem

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.host_keys import RememberedHostKeys
from apps.services.models import Connection
from apps.services.private_key import InvalidPrivateKey, openssh_text, read_private_key

_KEY_CLASSES = {
    Ed25519PrivateKey: paramiko.Ed25519Key,
    RSAPrivateKey: paramiko.RSAKey,
    EllipticCurvePrivateKey: paramiko.ECDSAKey,
}
# In seconds: firewalls close idle connections, often after a minute.
_KEEPALIVE_INTERVAL = 20


class SftpFileSystem(SFTPFileSystem):  # type: ignore[misc] # It ships no types.
    """File system of an SFTP connection."""

    cachable = False

    def __init__(
        self,
        connection: Connection,
        username: str = "",
        password: str = "",
        private_key: str = "",
        passphrase: str = "",
    ) -> None:
        parts = urlsplit(connection.url)
        if not parts.hostname:
            raise ConnectorError(f"{connection.url} has no host; write one such as sftp://host/folder.")
        self._connection = connection
        self._host_keys = RememberedHostKeys(connection.ssh_host)
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
        client = paramiko.SSHClient()
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
    return key_class.from_private_key(StringIO(openssh_text(key)))
