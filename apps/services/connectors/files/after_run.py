"""What happens to files once the run that read them has succeeded: they are moved or deleted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import PurePosixPath
from typing import Protocol

from django.core.exceptions import ValidationError

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.connector import folder_of
from apps.services.connectors.files.folder import Folder
from apps.services.definition.file_options import COMPRESSION_BY_SUFFIX, FileSource
from apps.services.definition.options import read_source
from apps.services.models import Service

logger = logging.getLogger(__name__)

# Names that are tried for a file whose name exists already.
_MAX_NAMES = 1000


class FileAction(Protocol):
    def __call__(self, name: str, version: str) -> None:
        """Moves or deletes a file if its version is still `version`. Raises ConnectorError."""
        ...


@contextmanager
def file_action(service: Service, run_id: int) -> Iterator[FileAction | None]:
    """What the service does with files that run `run_id` has read, None if nothing. Raises ConnectorError."""
    connection = service.source_connection
    try:
        options = connection and read_source(connection.kind, service.source_options)
    except ValidationError:
        options = None
    if connection is None or not isinstance(options, FileSource) or options.after is None:
        yield None
        return
    move_to = options.after.move_to

    def act(name: str, version: str) -> None:
        current = folder.info(name)
        if current is None:
            logger.warning("%s is gone and cannot be %s", name, "moved" if move_to else "deleted")
        elif current.version != version:
            logger.warning("%s has changed since it was read and stays for the next run", name)
        elif move_to:
            logger.info("%s moved to %s", name, _move(folder, name, move_to, run_id))
        else:
            folder.delete(name)
            logger.info("%s deleted", name)

    with closing(folder_of(connection)) as folder:
        yield act


def _move(folder: Folder, name: str, move_to: str, run_id: int) -> str:
    """Moves the file and returns its new name; if the name exists, the number of the run is appended."""
    path = PurePosixPath(name)
    suffix = path.suffix
    if suffix.lower() in COMPRESSION_BY_SUFFIX:
        suffix = path.with_suffix("").suffix + suffix
    stem = path.name.removesuffix(suffix)
    for number in count():
        ending = "" if number == 0 else f"-{run_id}" if number == 1 else f"-{run_id}-{number}"
        target = f"{move_to}/{stem}{ending}{suffix}"
        if folder.move(name, target):
            return target
        if number == _MAX_NAMES:
            break
    raise ConnectorError(f"{name} cannot be moved to {move_to}: too many files have its name.")
