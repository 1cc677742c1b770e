"""Preparation of the demo: a free port, the database, static files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


class StartError(Exception):
    """The demo cannot start; the message says why and what to do, in one line."""


@contextmanager
def hold_start_lock(lock: Path) -> Iterator[None]:
    """Raises StartError while another demo uses the same data directory."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"The data directory {lock.parent} is used by another running demo; stop it, or set "
                "SYNCLOG_DATA_DIR to another folder."
            ) from None
        yield


def ensure_port_is_free(host: str, port: int) -> None:
    """Raises StartError unless this process can listen there."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"is not available ({error.strerror})"
        raise StartError(
            f"Port {port} of {host} {reason}; stop what uses it, or choose another: PORT={port + 1} make run"
        ) from None


def prepare() -> None:
    """Prepares database and static files in a child process, because this one would keep the memory.

    Raises StartError.
    """
    child = multiprocessing.get_context("fork").Process(target=_prepare)
    child.start()
    child.join()
    if child.exitcode:
        raise StartError("The database or the static files cannot be prepared; the reason is above.")


def _prepare() -> None:
    prepare_database()
    prepare_static_files()


def prepare_database() -> None:
    call_command("migrate", verbosity=0, interactive=False)


def prepare_static_files() -> None:
    """Collects static files if one has changed; compressing all of them takes seconds."""
    fingerprint = _fingerprint()
    seen = settings.DATA_DIR / "static-fingerprint"
    if seen.exists() and seen.read_text() == fingerprint and settings.STATIC_ROOT.exists():
        return
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    seen.write_text(fingerprint)


def _fingerprint() -> str:
    """Digest of name, size and time of every static file."""
    files = []
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = Path(storage.path(path)).stat()
            files.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()
