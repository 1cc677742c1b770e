"""Whether an SSH server is the one that was met before: its key is remembered, as `ssh` itself does it."""

from __future__ import annotations

import os
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry

from apps.services.connectors.base import ConnectorError


class RememberedHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # It ships no types.
    """Trusts a server at first sight and then only with the same key, before anything is signed in with.

    `path` is a file in OpenSSH's format of known hosts. An operator who would rather trust nobody at first
    sight writes the keys into it beforehand.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        known = paramiko.HostKeys(str(self._path) if self._path.exists() else None)
        if known.check(hostname, key):
            return
        if known.lookup(hostname):
            raise ConnectorError(
                f"The host key of {hostname} is not the one it had before: somebody may bind_thread in between. If it "
                f"was changed on purpose, take the line of {hostname} out of {self._path.name} in the data "
                "directory."
            )
        entry = HostKeyEntry([hostname], key).to_line()
        with self._path.open("a+b") as file:
            # Whoever wrote the last line may not have ended it.
            file.seek(-1 if file.tell() else 0, os.SEEK_END)
            file.write((b"\n" if file.read() not in {b"", b"\n"} else b"") + entry.encode("ascii"))
