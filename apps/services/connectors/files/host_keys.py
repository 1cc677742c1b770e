"""Host keys of SSH servers, remembered in a known_hosts file."""

from __future__ import annotations

import os
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry

from apps.services.connectors.base import ConnectorError


class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # It ships no types.
    """Trusts a server at the first connection, and afterwards only with the same key.

    `path` is a file in the known_hosts format of OpenSSH. An operator can fill it beforehand.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        known = paramiko.HostKeys(str(self._path) if self._path.exists() else None)
        if known.check(hostname, key):
            return
        if known.lookup(hostname):
            raise ConnectorError(
                f"The host key of {hostname} has changed: someone may intercept the connection. If the "
                f"change is expected, remove the line of {hostname} from {self._path.name} in the data "
                "directory."
            )
        entry = HostKeyEntry([hostname], key).to_line()
        with self._path.open("a+b") as file:
            # The last line may lack its line feed.
            file.seek(-1 if file.tell() else 0, os.SEEK_END)
            file.write((b"\n" if file.read() not in {b"", b"\n"} else b"") + entry.encode("ascii"))
