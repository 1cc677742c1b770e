"""Test of a file connection: the server and its folder, the bucket, or the folder on this host."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.connection_test.advice import CheckFailed
from apps.services.connectors.connection_test.hosts import address_of, resolved
from apps.services.connectors.connection_test.progress import ConnectionTest, StepName
from apps.services.connectors.files.folder import translate_errors
from apps.services.connectors.files.local_folder import confined
from apps.services.connectors.files.remote_folder import RemoteFolder, authentication_options
from apps.services.connectors.stages import Stage, observed
from apps.services.models import Connection
from apps.services.models.connection import SSH_SCHEMES
from apps.services.models.host_key import fingerprint_of
from apps.services.private_key import InvalidPrivateKey, read_private_key

# Schemes of servers that are connected to and authenticate in one call.
_SERVER_SCHEMES = ("ftp", "smb")


def check_folder(connection: Connection, test: ConnectionTest, *, forgets_host_key: bool) -> None:
    """Raises ConnectorError."""
    scheme = urlsplit(connection.url).scheme
    test.plan(*_names(scheme))
    if scheme == "file":
        test.discard()
        _check_local(Path(connection.url.removeprefix("file://")), test)
        return
    _check_secrets(connection, scheme)
    test.discard()
    if scheme in SSH_SCHEMES:
        _check_sftp(connection, test, forgets_host_key=forgets_host_key)
    elif scheme in _SERVER_SCHEMES:
        _check_server(connection, test)
    else:
        with closing(RemoteFolder(connection)) as folder:
            _check_remote(folder, test)


def _names(scheme: str) -> list[StepName]:
    if scheme == "file":
        return [StepName.ALLOWED, StepName.FOLDER, StepName.READ, StepName.WRITE]
    if scheme in SSH_SCHEMES:
        return [
            StepName.RESOLVE,
            StepName.CONNECT,
            StepName.HOST_KEY,
            StepName.AUTHENTICATE,
            StepName.FOLDER,
        ]
    if scheme in _SERVER_SCHEMES:
        return [StepName.RESOLVE, StepName.CONNECT, StepName.AUTHENTICATE, StepName.FOLDER]
    return [StepName.FOLDER]


def _check_secrets(connection: Connection, scheme: str) -> None:
    options = authentication_options(connection, scheme)
    if "private_key" in options:
        try:
            read_private_key(options["private_key"], options["passphrase"])
        except InvalidPrivateKey as error:
            raise ConnectorError(str(error)) from None


def _check_local(path: Path, test: ConnectionTest) -> None:
    folder = confined(path)
    test.complete(str(folder))
    if not os.path.lexists(folder):
        _check_creatable(folder, test)
        return
    if not folder.is_dir():
        raise ConnectorError(_("%(folder)s is not a folder.") % {"folder": folder})
    test.complete()
    with translate_errors(f"{folder} cannot be read"):
        count = len(os.listdir(folder))  # noqa: PTH208 - faster for many files
    test.complete(_entries(count))
    if not _is_writable(folder):
        raise ConnectorError(_("%(folder)s cannot be written.") % {"folder": folder})
    test.complete()


def _check_creatable(folder: Path, test: ConnectionTest) -> None:
    """A run would create the folder. Checks whether the folder above allows that."""
    parent = next(parent for parent in folder.parents if os.path.lexists(parent))
    if not parent.is_dir():
        raise ConnectorError(_blocked_text(str(folder), str(parent)))
    if not _is_writable(parent):
        raise CheckFailed(
            _("%(folder)s does not exist and cannot be created: %(parent)s cannot be written.")
            % {"folder": folder, "parent": parent},
            _("Create the folder, or allow the user of the workers to write to the folder above it."),
        )
    _warn_of_missing(str(folder), test)


def _warn_of_missing(folder: str, test: ConnectionTest) -> None:
    test.end_with_warning(
        _("%(folder)s does not exist yet.") % {"folder": folder},
        _(
            "A destination creates the folder with its first file; a source finds no files until then. Check the path "
            "if the folder should exist."
        ),
    )


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _check_sftp(connection: Connection, test: ConnectionTest, *, forgets_host_key: bool) -> None:
    # Imports paramiko, which takes a tenth of the start-up time of every process.
    from apps.services.connectors.files.host_keys import UnsavedHostKeys

    test.complete(resolved(connection.url))
    host_keys = UnsavedHostKeys(connection.ssh_host, forgets=forgets_host_key)

    def complete(stage: Stage, subject: Any) -> None:
        if stage == Stage.CONNECTED:
            test.complete(address_of(subject))
        else:
            test.complete(_host_key_text(subject, is_first=host_keys.is_first_connection))

    with observed(complete):
        folder = RemoteFolder(connection, host_keys)
    with closing(folder):
        test.complete(_user(connection))
        _check_remote(folder, test)


def _check_server(connection: Connection, test: ConnectionTest) -> None:
    test.complete(resolved(connection.url))
    try:
        folder = RemoteFolder(connection)
    except ConnectorError as error:
        if not isinstance(error.__cause__, OSError):
            # The server has responded.
            test.complete()
        raise
    with closing(folder):
        test.complete()
        test.complete(_user(connection))
        _check_remote(folder, test)


def _check_remote(folder: RemoteFolder, test: ConnectionTest) -> None:
    try:
        count = folder.entry_count()
    except ConnectorError as error:
        # A missing bucket is not created.
        if folder.is_object_store or not isinstance(error.__cause__, FileNotFoundError):
            raise
        if parent := folder.file_above():
            raise ConnectorError(_blocked_text(folder.path, parent)) from error
        _warn_of_missing(folder.path, test)
        return
    test.complete(_entries(count))


def _blocked_text(folder: str, parent: str) -> str:
    return _("%(folder)s cannot be created: %(parent)s is not a folder.") % {
        "folder": folder,
        "parent": parent,
    }


def _user(connection: Connection) -> str:
    return _("User %(name)s.") % {"name": connection.auth_username} if connection.auth_username else ""


def _entries(count: int | None) -> str:
    if count is None:
        return ""
    return ngettext("%(count)d entry", "%(count)d entries", count) % {"count": count}


def _host_key_text(key: Any, *, is_first: bool) -> str:
    shown = f"{key.get_name()} {fingerprint_of(key.asbytes())}"
    if not is_first:
        return _("%(key)s, as remembered.") % {"key": shown}
    return _("%(key)s. The first run remembers it; compare it with that of the server.") % {"key": shown}
