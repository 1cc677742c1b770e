"""File connector: pull from files, push to files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import batched, count
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from django.conf import settings

from apps.services.connectors.base import (
    Body,
    ConnectorError,
    Delivery,
    FileInfo,
    Outgoing,
    Page,
    Record,
    RunContext,
)
from apps.services.connectors.files.file_choice import FileChoice
from apps.services.connectors.files.folder import Folder, PendingFile, translate_errors
from apps.services.connectors.files.local_folder import LocalFolder
from apps.services.connectors.files.remote_folder import RemoteFolder
from apps.services.connectors.formats.compression import Known, compression_of
from apps.services.connectors.formats.documents import log_repeated_keys
from apps.services.connectors.formats.file_formats import (
    RecordWriter,
    content_type,
    extension,
    read_files,
    record_writer,
)
from apps.services.definition.file_options import FileDestination, FileSource
from apps.services.exact_json import Parser
from apps.services.models import Connection

logger = logging.getLogger(__name__)


def folder_of(connection: Connection) -> Folder:
    """The folder of `connection`. Raises ConnectorError if it is not allowed or not available."""
    parts = urlsplit(connection.url)
    if parts.scheme == "file" and not parts.netloc:
        return LocalFolder(connection.url.removeprefix("file://"))
    return RemoteFolder(connection)


class FilePull:
    """Pulls the records of the files that match the path, in the order of their names."""

    def __init__(self, connection: Connection, options: FileSource, context: RunContext) -> None:
        self._folder = folder_of(connection)
        self._place = connection.url
        self._options = options
        self._context = context
        self._parser = Parser()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.close()

    def pages(self) -> Iterator[Page]:
        choice = FileChoice(self._folder, self._options, self._context)
        numbers = count(1)
        for file in choice.files():
            for page in self._pages_of(file, numbers):
                if page.number > settings.MAX_PAGES:
                    raise ConnectorError(
                        f"The files contain more than {settings.MAX_PAGES} pages, the limit of one run. "
                        "Set a larger “page_size”, or raise SYNCLOG_MAX_PAGES."
                    )
                yield page
        if not choice.count:
            # The usual case for a folder that each run empties.
            level = logging.INFO if self._context.files is not None else logging.WARNING
            logger.log(level, "No file matches %s in %s.", self._options.path, self._place)

    def _pages_of(self, file: FileInfo, numbers: Iterator[int]) -> Iterator[Page]:
        size = self._context.page_size or self._options.page_size
        name = file.name
        compressed = compression_of(name, self._options.compression)
        body: Body | None = _body(self._folder, name, self._options.format, compressed)
        try:
            with self._folder.open(name) as stream:
                files = read_files(stream, self._options, compressed, name, self._parser)
                for member, records in _reading(files, name):
                    last = 0
                    for batch in _reading(batched(records, size), name):
                        first, last = last + 1, last + len(batch)
                        origin = f"{member}, records {first}–{last}"
                        log_repeated_keys(self._parser, origin)
                        yield Page(next(numbers), list(batch), origin, body)
                        body = None
                        self._context.check()
        except ConnectorError:
            # An incomplete file is often invalid as well.
            self._check_unchanged(file)
            raise
        self._check_unchanged(file)
        if body:
            yield Page(next(numbers), [], f"{name}, no records", body)

    def _check_unchanged(self, file: FileInfo) -> None:
        """Raises ConnectorError if the file is not as it was before it was read."""
        current = self._folder.info(file.name)
        if current == file:
            return
        change = (
            "disappeared"
            if current is None
            else f"changed its size from {file.size:,} to {current.size:,} bytes"
            if current.size != file.size
            else "was replaced"
        )
        raise ConnectorError(
            f"{file.name} {change} while it was read. Run the service again once the file is complete, or set "
            "“min_age_seconds”."
        )


@dataclass
class _OpenFile:
    """The file for the whole run while it is written."""

    name: str
    pending: PendingFile
    writer: RecordWriter
    record_count: int = 0


class FilePush:
    """Pushes records to one file per page or per run; a file is visible only when it is complete."""

    # A file that lacks the unchanged records would be incomplete.
    skips_unchanged = False

    def __init__(self, connection: Connection, options: FileDestination, context: RunContext) -> None:
        self._folder = folder_of(connection)
        self._options = options
        self._context = context
        self._compressed = compression_of(options.path, options.compression)
        self._open: _OpenFile | None = None
        self._last_page = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            pending, writer, self._open = self._open.pending, self._open.writer, None
            try:
                writer.discard()
                pending.discard()
            except ConnectorError as failure:
                # Only a warning, so that it does not hide why the run stopped.
                logger.warning("%s", failure)
        self._folder.close()

    def push(self, page: int, records: list[Record]) -> Iterator[Delivery]:
        if not records:
            return
        self._context.check()
        self._last_page = page
        if self._open is None:
            self._open = self._create(page)
        name = self._open.name
        for record in records:
            with translate_errors(f"{name} cannot be written"):
                self._open.writer.write(record)
        self._open.record_count += len(records)
        if "{page}" in self._options.path:
            yield self._complete(self._open)

    def preview(self, page: int, records: list[Record]) -> Iterator[Outgoing]:
        name, content = self._name(page), BytesIO()
        writer = record_writer(content, self._options, "none", name)
        with translate_errors(f"{name} cannot be written"):
            for record in records:
                writer.write(record)
            writer.end()
        encoding = self._options.csv.encoding if self._options.format == "csv" else "auto"
        text = content.getvalue().decode("utf-8" if encoding == "auto" else encoding, "replace")
        yield Outgoing(name, text)

    def finish(self) -> Iterator[Delivery]:
        if self._open:
            yield self._complete(self._open)

    def _name(self, page: int) -> str:
        return self._options.path.replace("{run}", str(self._context.run_id)).replace("{page}", str(page))

    def _create(self, page: int) -> _OpenFile:
        name = self._name(page)
        pending = self._folder.create(name)
        writer = record_writer(pending.stream, self._options, self._compressed, name)
        return _OpenFile(name, pending, writer)

    def _complete(self, file: _OpenFile) -> Delivery:
        with translate_errors(f"{file.name} cannot be written"):
            file.writer.end()
        self._context.in_flight = None
        file.pending.commit()
        self._open = None
        return Delivery(
            page=self._last_page,
            batch=1,
            accepted=file.record_count,
            refused=0,
            outcome=f"{file.name} written",
            request=_body(self._folder, file.name, self._options.format, self._compressed),
        )


def _body(folder: Folder, name: str, format_: str, compressed: Known) -> Body:
    """The file as it is, also if it is compressed."""
    return Body(content_type(format_, compressed), extension(format_, compressed), lambda: folder.open(name))


def _reading[Item](items: Iterator[Item], name: str) -> Iterator[Item]:
    """`items`, with translated errors: those in the processing of an item are not errors of the file."""
    while True:
        with translate_errors(f"{name} cannot be read"):
            item = next(items, None)
        if item is None:
            return
        yield item
