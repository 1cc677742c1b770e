"""Host keys of SSH servers: remembered in the database, which all workers share."""

from __future__ import annotations

import logging
from base64 import b64decode

import paramiko

from apps.services.connectors.base import ConnectorError
from apps.services.models.host_key import HostKey, fingerprint_of

logger = logging.getLogger(__name__)


class RememberedHostKeys(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # It ships no types.
    """Trusts a server at the first connection, and afterwards only with the same key."""

    def __init__(self, host: str) -> None:
        self._host = host
        # Read once, so that a lost connection does not depend on the database.
        self._rows = {row.algorithm: row for row in HostKey.objects.filter(host=host)}

    def prepare(self, client: paramiko.SSHClient, name: str) -> None:
        """Makes `client`, which calls the server `name`, prefer the algorithm of a known key."""
        for algorithm, row in self._rows.items():
            key = paramiko.PKey.from_type_string(algorithm, b64decode(row.key))
            client.get_host_keys().add(name, algorithm, key)
        client.set_missing_host_key_policy(self)

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Remembers the first key of the server. Raises ConnectorError if another worker just remembered another."""
        row, is_new = HostKey.objects.get_or_create(
            host=self._host, algorithm=key.get_name(), defaults={"key": key.get_base64()}
        )
        self._rows[row.algorithm] = row
        if row.key != key.get_base64():
            raise self.changed(key)
        if is_new:
            logger.info(
                "First connection to %s: its host key %s %s is remembered.",
                self._host,
                row.algorithm,
                row.fingerprint,
            )

    def changed(self, key: paramiko.PKey) -> ConnectorError:
        """The error for a server that presents `key` instead of the remembered one."""
        known = ", ".join(f"{row.algorithm} {row.fingerprint}" for row in self._rows.values())
        return ConnectorError(
            f"The host key of {self._host} has changed: someone may intercept the connection. Remembered: {known}. "
            f"Presented: {key.get_name()} {fingerprint_of(key.asbytes())}. If the operator of the server confirms "
            "the new key, tick “Forget host key” in the settings of the connection and save."
        )


class UnsavedHostKeys(RememberedHostKeys):
    """The same for a test of a connection, which remembers no key."""

    def __init__(self, host: str, *, forgets: bool) -> None:
        """`forgets` if the remembered keys are about to be forgotten."""
        super().__init__(host)
        if forgets:
            self._rows = {}

    @property
    def is_first_connection(self) -> bool:
        return not self._rows

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Trusts the server for this connection."""
