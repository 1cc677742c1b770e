"""Choice of the files that a run reads: none that is still being written, none that was read before."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import batched

from apps.services.connectors.base import ConnectorError, FileInfo, RunContext
from apps.services.connectors.files.folder import Folder
from apps.services.definition.file_options import FileSource

logger = logging.getLogger(__name__)

# Files that are looked up and claimed at once.
_FILES_AT_ONCE = 500


class FileChoice:
    """The files of a source, one after another, each as it is right before it is read."""

    def __init__(self, folder: Folder, options: FileSource, context: RunContext) -> None:
        self._folder = folder
        self._options = options
        self._context = context
        self._young_count = 0
        # Files that were listed.
        self.count = 0

    def files(self) -> Iterator[FileInfo]:
        """Raises ConnectorError."""
        for batch in batched(self._folder.files(self._options.path), _FILES_AT_ONCE):
            self._context.check()
            yield from self._chosen([file for file in batch if self._can_be_read(file)])
        if self._young_count:
            logger.info(
                "%s left out: changed less than %d s ago",
                files_text(self._young_count),
                self._options.min_age_seconds,
            )
        if self._context.files is not None:
            self._context.files.finish()

    def _chosen(self, batch: list[FileInfo]) -> Iterator[FileInfo]:
        self.count += len(batch)
        for file in batch:
            self._check_time(file)
        old = [file for file in batch if not self._is_young(file)]
        claims = self._context.files
        claimed = claims.claim(old) if claims is not None else {file.name for file in old}
        for file in old:
            if file.name in claimed and (current := self._current(file)) is not None:
                yield current

    def _current(self, file: FileInfo) -> FileInfo | None:
        """The current state of a file that was listed earlier; None if it must not be read any more."""
        claims = self._context.files
        current = self._folder.info(file.name)
        if current is None:
            logger.warning("%s left out: it disappeared before it was read", file.name)
        elif current.version == file.version:
            return current
        elif not self._is_young(current):
            return current if claims is None or claims.renew(current) else None
        if claims is not None:
            claims.release(file)
        return None

    def _can_be_read(self, file: FileInfo) -> bool:
        if self._is_moved(file):
            return False
        if self._context.files is not None and not _is_utf8(file.name):
            logger.warning("%r left out: its name is not valid UTF-8; rename it", file.name)
            return False
        return True

    def _is_moved(self, file: FileInfo) -> bool:
        """Whether the file is where files are moved to; a path with ** may match it."""
        after = self._options.after
        return bool(after and after.move_to and after.move_to == file.name.rpartition("/")[0])

    def _is_young(self, file: FileInfo) -> bool:
        age = self._options.min_age_seconds
        is_young = bool(age) and time.time() - (file.modified_at or 0) / 1e9 < age
        self._young_count += is_young
        return is_young

    def _check_time(self, file: FileInfo) -> None:
        option = "min_age_seconds" if self._options.min_age_seconds else ""
        if self._options.only_new and not file.etag:
            option = "only_new"
        if option and file.modified_at is None:
            raise ConnectorError(
                f"{file.name}: the file system does not record when files were changed. Remove “{option}”."
            )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def files_text(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"
