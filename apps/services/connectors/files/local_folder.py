"""Local folders, confined to SYNCLOG_FILE_ROOTS even through links."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from django.conf import settings

from apps.services.connectors.base import ConnectorError, FileInfo
from apps.services.connectors.files.folder import (
    is_temporary,
    report_unlisted,
    temporary_name,
    translate_errors,
)

# Synclog's own files in the data directory, which is the default root.
_OWN_NAMES = {"broker", "demo-credentials.txt", "log", "payloads", "secret-key", "spool", "static"}
_OWN_BEGINNINGS = ("beat-schedule", "synclog.sqlite3", "test.sqlite3")


class LocalFolder:
    """Folder of a `file://` connection."""

    def __init__(self, path: str) -> None:
        self._path = confined(Path(path))

    def files(self, pattern: str) -> Iterator[FileInfo]:
        with translate_errors(f"The files {pattern} cannot be listed"):
            found = glob.glob(pattern, root_dir=self._path, recursive=True)  # noqa: PTH207 - sorted, without hidden
        self._check_readable(pattern)
        # Folders whose files need no check of their own, unless they are links.
        checked: dict[str, bool] = {}
        for name in sorted(name for name in found if not is_temporary(name)):
            parent = name.rpartition("/")[0]
            if parent not in checked:
                checked[parent] = not _contains_own(confined(self._path / parent))
            if checked[parent] and not (self._path / name).is_symlink():
                file = _file_info(name, self._path / name)
            else:
                file = self.info(name)
            if file is not None:
                yield file

    def _check_readable(self, pattern: str) -> None:
        """Raises ConnectorError if a folder that `pattern` searches cannot be listed: glob takes it for empty."""
        parts = pattern.split("/")
        if parts[-1] == "**":
            parts.append("*")
        for depth, part in enumerate(parts):
            if not glob.has_magic(part):
                continue
            parents = "/".join((*parts[:depth], ""))
            for folder in glob.glob(parents, root_dir=self._path, recursive=True) if parents else [""]:  # noqa: PTH207
                path = self._path / folder
                try:
                    os.scandir(path).close()
                except (FileNotFoundError, NotADirectoryError):
                    pass
                except OSError as error:
                    report_unlisted(str(path), error, pattern)

    def info(self, name: str) -> FileInfo | None:
        return _file_info(name, confined(self._path / name))

    def open(self, name: str) -> BinaryIO:
        with translate_errors(f"{name} cannot be opened"):
            return confined(self._path / name).open("rb")

    def create(self, name: str) -> PendingLocalFile:
        target = self._path / name
        with translate_errors(f"{name} cannot be written"):
            confined(target.parent).mkdir(parents=True, exist_ok=True)
            # Resolved again, because only an existing path can be a link.
            confined(target)
            return PendingLocalFile(confined(target.parent) / target.name)

    def move(self, name: str, target: str) -> bool:
        old, new = self._entry(name), self._path / target
        with translate_errors(f"{name} cannot be moved to {target}"):
            confined(new.parent).mkdir(parents=True, exist_ok=True)
            new = self._entry(target)
            try:
                # Reserves the name: a rename would replace an existing file.
                os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW))
            except FileExistsError:
                return False
            try:
                old.replace(new)
            except OSError:
                new.unlink(missing_ok=True)
                raise
        return True

    def delete(self, name: str) -> None:
        with translate_errors(f"{name} cannot be deleted"):
            self._entry(name).unlink()

    def close(self) -> None:
        pass

    def _entry(self, name: str) -> Path:
        """The path of a file, or of a link itself."""
        path = self._path / name
        confined(path)
        return confined(path.parent) / path.name


class PendingLocalFile:
    """A file that is flushed to the disk and renamed when it is complete."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(temporary_name(target.name))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self.stream: BinaryIO = os.fdopen(os.open(self._temporary, flags, 0o666), "wb")

    def commit(self) -> None:
        with translate_errors(f"{self._target} cannot be written"):
            self.stream.flush()
            os.fsync(self.stream.fileno())
            self.stream.close()
            self._temporary.replace(self._target)
        with translate_errors(f"{self._target} cannot be written", may_have_arrived=True):
            folder = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        with translate_errors(f"{self._temporary} cannot be deleted"):
            # Deleted first: closing may write, and must not fail on a full disk.
            self._temporary.unlink(missing_ok=True)
            self.stream.close()


def _file_info(name: str, path: Path) -> FileInfo | None:
    with translate_errors(f"{name} cannot be opened"):
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    if not S_ISREG(status.st_mode):
        return None
    return FileInfo(name, status.st_size, status.st_mtime_ns, identity=(status.st_dev, status.st_ino))


def confined(path: Path) -> Path:
    """`path` with its links resolved. Raises ConnectorError if it is outside the roots or belongs to Synclog."""
    # Texts instead of paths: this is called several times for each file.
    try:
        resolved = os.path.realpath(path)
    except (OSError, ValueError) as error:
        raise ConnectorError(f"{str(path)!r} is not a valid path: {error}.") from None
    roots = [os.path.realpath(root) for root in settings.FILE_ROOTS]
    if not any(_is_within(resolved, root) for root in roots):
        raise ConnectorError(
            f"{path} is outside the folders in SYNCLOG_FILE_ROOTS ({', '.join(roots)}), where file:// connections "
            "may read and write."
        )
    if _is_own(resolved):
        raise ConnectorError(f"{path} belongs to Synclog itself; no connection may read or write it.")
    return Path(resolved)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _contains_own(folder: Path) -> bool:
    """Whether Synclog's own files may be in this folder itself."""
    database = Path(_resolved(str(settings.DATABASES["default"]["NAME"])))
    return folder in (settings.DATA_DIR.resolve(), database.parent)


def _is_own(path: str) -> bool:
    """Whether `path` is part of Synclog's own data: key, database, queue or payloads."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3") and path.startswith(_resolved(str(database["NAME"]))):
        return True
    data = _resolved(str(settings.DATA_DIR))
    if path == data or not _is_within(path, data):
        return False
    first = path.removeprefix(data).split("/")[1]
    return first in _OWN_NAMES or first.startswith(_OWN_BEGINNINGS)


@cache
def _resolved(path: str) -> str:
    """The path of Synclog's own data, which stays the same while a process runs."""
    return os.path.realpath(path)
