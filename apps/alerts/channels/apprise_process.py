"""Process of Apprise: sends one notification, and refuses what a plugin must not do.

Apprise has plugins for more than a hundred services. An audit hook decides by what a plugin does: commands, local
files, sockets of this host, and addresses that the address guard refuses are not allowed.
"""

from __future__ import annotations

import json
import logging
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.services.connectors.address_guard import check_host
from apps.services.connectors.base import ConnectorError

# Plugins that notify the desktop or the log of this host.
_LOCAL_SCHEMES = (
    *("dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows"),
    *("syslog", "blink1"),
)
_COMMANDS = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "pty.",
    "syslog.",
)
# Files of the system that libraries read.
_SYSTEM_FILES = (
    *("/etc/ssl", "/etc/pki", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/mime.types"),
    *("/etc/localtime", "/etc/apache2/mime.types", "/usr/share/zoneinfo", "/dev/urandom", "/dev/null"),
)


class _Refused(Exception):
    """The plugin tried something that is not allowed."""


def main() -> None:
    """Reads `{"url", "title", "body"}` from stdin and writes `{"error"}`; without a body, the URL is only checked."""
    # Prints of a plugin must not get into the result.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    print(json.dumps({"error": notify(**request)}), file=result, flush=True)


def notify(url: str, title: str = "", body: str = "") -> str:
    """Sends the notification; the reason if it failed, or an empty text."""
    # Here, because it takes 45 MiB.
    import apprise as library
    from apprise.manager_plugins import NotificationManager

    # Its types are incomplete.
    apprise: Any = library
    schemes: Any = NotificationManager

    scheme = url.partition("://")[0].lower()
    if "://" not in url:
        return "Not an Apprise URL; write one such as slack://… (https://appriseit.com/services/)."
    if scheme in _LOCAL_SCHEMES:
        return f"{scheme}:// is refused, because it notifies only the host of the worker."
    if scheme not in schemes():
        return f"Apprise knows no scheme {scheme}://. See https://appriseit.com/services/."
    refusals = _confine()
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as log:
        try:
            asset = apprise.AppriseAsset(async_mode=False, secure_logging=True, plugin_paths=[])
            service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
            is_done = bool(service) and (
                not body or service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
            )
        except _Refused:
            is_done = False
        except TypeError as error:
            return str(error)
        reasons = refusals or log.getvalue().strip().splitlines()
    if is_done and not refusals:
        return ""
    return " ".join(dict.fromkeys(reasons)) or f"The {scheme}:// service did not accept the message."


def _confine() -> list[str]:
    """Refuses what a plugin must not do from now on; the list gets the reasons."""
    refusals: list[str] = []
    allowed = _readable_files()

    def refuse(reason: str) -> None:
        refusals.append(reason)
        raise _Refused(reason)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if not isinstance(address, tuple):
                refuse("The service uses a socket of this host, which is not allowed.")
            try:
                check_host(str(address[0]))
            except ConnectorError as error:
                refuse(str(error))
        elif event == "open":
            _check_file(arguments, allowed, refuse)
        elif event.startswith(_COMMANDS):
            refuse("The service runs a command or uses the log of this host, which is not allowed.")

    sys.addaudithook(audit)
    return refusals


def _readable_files() -> tuple[str, ...]:
    folders = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()}
    certificates = [os.environ.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
    project = str(Path(__file__).resolve().parents[3] / "apps")
    folders |= {os.path.realpath(folder) for folder in folders}
    return tuple(
        str(folder).rstrip("/") for folder in (*folders, project, *certificates, *_SYSTEM_FILES) if folder
    )


def _check_file(arguments: tuple[Any, ...], allowed: tuple[str, ...], refuse: Callable[[str], None]) -> None:
    path, mode, flags = (*arguments, None, 0)[:3]
    if isinstance(path, int):
        return
    name = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))  # noqa: PTH118, PTH109 - no audit events
    is_written = any(letter in str(mode or "") for letter in "wax+") or (flags or 0) & (
        os.O_WRONLY | os.O_RDWR
    )
    if is_written and name != os.devnull:
        refuse("The service writes a local file, which is not allowed.")
    if not any(name == folder or name.startswith(f"{folder}/") for folder in allowed):
        refuse("The service reads a local file, which is not allowed.")
