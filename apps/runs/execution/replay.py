"""Replay: runs whose source is the stored pull payloads of an earlier run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import batched, count
from pathlib import PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self, cast

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from apps.runs.models import Payload, Run
from apps.runs.models.payload import PayloadQuerySet
from apps.runs.payloads.reading import open_payload
from apps.services.connectors.base import Body, ConnectorError, Page, Record, RunContext
from apps.services.connectors.files.folder import translate_errors
from apps.services.connectors.formats.compression import compression_of
from apps.services.connectors.formats.documents import (
    charset_of,
    log_repeated_keys,
    parse_json,
    records_in,
)
from apps.services.connectors.formats.file_formats import read_files
from apps.services.definition.file_options import FileSource
from apps.services.definition.http_options import HttpSource
from apps.services.definition.options import read_source
from apps.services.exact_json import Parser
from apps.services.models import Service

# Names of the pages of a run; responses of failed pulls have other names.
_PAGES = "pull-page-"


def check_replay(service: Service, original: Run) -> None:
    """Raises ValidationError for `replay_of` unless the stored pages of `original` can be read."""
    if original.service_id != service.pk:
        raise _refusal(_("Run %(run)s belongs to another service.") % {"run": original.pk})
    if original.is_open:
        raise _refusal(_("Run %(run)s is still open.") % {"run": original.pk})
    pages = [payload.state for payload in stored_pages(original)]
    if not pages:
        raise _refusal(_("Run %(run)s stored no pull payloads.") % {"run": original.pk})
    if gone := [state for state in pages if state != "stored"]:
        raise _refusal(
            _("%(gone)d of %(all)d pull payloads of run %(run)s can no longer be read (%(state)s).")
            % {"gone": len(gone), "all": len(pages), "run": original.pk, "state": gone[0]}
        )


class Replay:
    """Source with the stored pages of `original`, read with the current options of the service."""

    def __init__(self, service: Service, original: Run, context: RunContext) -> None:
        self._original = original
        self._context = context
        self._options = _options_of(service)
        self._parser = Parser()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def pages(self) -> Iterator[Page]:
        """Raises ConnectorError, also if a page has expired since the start of the run."""
        numbers = count(1)
        for payload in stored_pages(self._original):
            self._context.check()
            body: Body | None = _body_of(payload)
            origin = f"{payload.name}, stored by run {self._original.pk}"
            with closing(_opened(payload)) as stream:
                for records in self._batches(stream, payload, origin):
                    log_repeated_keys(self._parser, origin)
                    yield Page(next(numbers), records, origin, body)
                    body = None

    def _batches(self, stream: BinaryIO, payload: Payload, origin: str) -> Iterator[list[Record]]:
        options = self._options
        if isinstance(options, FileSource):
            size = self._context.page_size or options.page_size
            compressed = compression_of(payload.name)
            is_empty = True
            for _member, records in read_files(stream, options, compressed, origin, self._parser):
                for batch in batched(records, size):
                    is_empty = False
                    yield list(batch)
            if is_empty:
                yield []
            return
        with translate_errors(f"{origin} cannot be read"):
            data = stream.read()
        try:
            document = parse_json(data, self._parser, charset_of(payload.content_type))
        except ValueError as error:
            raise ConnectorError(f"{origin} is not JSON: {error}.") from None
        yield records_in(document, options.records, origin=origin)


def stored_pages(original: Run) -> PayloadQuerySet:
    """The pull payloads of the run in the order of its pages, with their `state`."""
    pages = Payload.objects.listed().with_state().filter(run=original, kind=Payload.Kind.PULL)
    return pages.filter(name__startswith=_PAGES).order_by("name")


def _options_of(service: Service) -> HttpSource | FileSource:
    connection = service.source_connection
    if connection is None:
        raise ConnectorError("A reported service runs elsewhere; there is nothing to pull.")
    try:
        return read_source(connection.kind, service.source_options, auth_header=connection.custom_header)
    except ValidationError as error:
        raise ConnectorError(f"The source of service {service.slug} is invalid: {error}") from None


def _body_of(payload: Payload) -> Body:
    # All suffixes, as in .csv.gz.
    extension = "".join(PurePosixPath(payload.name).suffixes)
    return Body(payload.content_type, extension, lambda: _opened(payload))


def _opened(payload: Payload) -> BinaryIO:
    with translate_errors(f"{payload.name} of run {payload.run_id} cannot be read"):
        return cast("BinaryIO", open_payload(payload))


def _refusal(message: str) -> ValidationError:
    return ValidationError({"replay_of": message})
