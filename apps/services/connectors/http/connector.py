"""HTTP connector: pull pages from a REST API, push batches to one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import batched, count
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Delivery, Page, Record, RunContext
from apps.services.connectors.formats.documents import (
    encode_json,
    excerpt,
    log_repeated_keys,
    parse_json,
    records_in,
)
from apps.services.connectors.http.client import HttpClient, HttpRequest, HttpResponse, status_error
from apps.services.connectors.http.pagination import (
    PageRequest,
    PageResponse,
    Pagination,
    RepetitionGuard,
    with_parameters,
)
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.http_options import HttpDestination, HttpSource
from apps.services.exact_json import Parser
from apps.services.models import Connection

# Statuses for which the destination or its settings are wrong; any other 4xx refuses the records.
_DESTINATION_FAULTS = {401, 403, 404, 405, 407}
_NOT_FOUND = {404, 410}


class HttpPull:
    """Pulls the records of one path page by page."""

    def __init__(self, connection: Connection, options: HttpSource, context: RunContext) -> None:
        self._options = options
        self._context = context
        self._client = HttpClient(connection, context)
        self._parser = Parser()
        self._pagination = Pagination(
            options, join(connection.url, options.path), context.page_size or options.page_size
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def pages(self) -> Iterator[Page]:
        guard = RepetitionGuard()
        request: PageRequest | None = self._pagination.first()
        for number in count(1):
            if request is None:
                return
            if number > settings.MAX_PAGES:
                raise ConnectorError(
                    f"The source has more than {settings.MAX_PAGES} pages, the limit of one run. Ask for "
                    "larger pages, or raise SYNCLOG_MAX_PAGES."
                )
            guard.check_position(request)
            self._context.check()
            page, request = self._pull(number, request, guard)
            yield page
            # Frees the page before the next one is pulled.
            del page

    def _pull(
        self, number: int, page_request: PageRequest, guard: RepetitionGuard
    ) -> tuple[Page, PageRequest | None]:
        request = HttpRequest("GET", page_request.url, self._options.headers)
        response = self._client.send(request)
        if not 200 <= response.status < 300:
            raise status_error(request, response)
        document = self._parsed(request, response)
        try:
            records = records_in(document, self._options.records, origin=f"the response of {request}")
        except ConnectorError as error:
            error.response = response.as_body()
            raise
        guard.check_body(response.content, len(records), str(request))
        following = self._pagination.after(
            page_request, PageResponse(response.url, len(records), document, response.headers)
        )
        return Page(number, records, without_secrets(page_request.url), response.as_body()), following

    def _parsed(self, request: HttpRequest, response: HttpResponse) -> Any:
        try:
            document = parse_json(response.content, self._parser, response.charset)
        except ValueError as error:
            if not response.content.strip():
                raise ConnectorError(
                    f"{request}: {response.status_line}, but the response is empty."
                ) from None
            raise ConnectorError(
                f"{request}: the response ({response.content_type or 'without a content type'}) is not JSON: "
                f"{error}. It begins: {excerpt(response.content)}",
                response=response.as_body(),
            ) from None
        log_repeated_keys(self._parser, str(request))
        return document


class HttpRecordPull(HttpPull):
    """Pulls the records with some keys, one request each; those that the source does not have are left out."""

    def __init__(
        self, connection: Connection, options: HttpSource, context: RunContext, keys: Collection[str]
    ) -> None:
        super().__init__(connection, options, context)
        self._url = join(connection.url, options.record_path)
        # Dots would lead to another path.
        self._keys = sorted(key for key in keys if key.strip("."))

    def pages(self) -> Iterator[Page]:
        for number, key in enumerate(self._keys, 1):
            self._context.check()
            url = with_parameters(self._url.replace("{key}", quote(key, safe="")), self._options.params)
            request = HttpRequest("GET", url, self._options.headers)
            response = self._client.send(request)
            if response.status in _NOT_FOUND:
                continue
            if not 200 <= response.status < 300:
                raise status_error(request, response)
            document = self._parsed(request, response)
            records = document if isinstance(document, list) else [document]
            yield Page(number, records, without_secrets(url), response.as_body())


class HttpPush:
    """Pushes records to one path in batches."""

    def __init__(self, connection: Connection, options: HttpDestination, context: RunContext) -> None:
        self._options = options
        self._context = context
        self._client = HttpClient(connection, context)
        self.skips_unchanged = options.skip_unchanged
        self._url = with_parameters(join(connection.url, options.path), options.params)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def push(self, page: int, records: list[Record]) -> Iterator[Delivery]:
        for number, batch in enumerate(batched(records, self._options.batch_size), start=1):
            self._context.check()
            yield self._deliver(page, number, batch)

    def finish(self) -> Iterator[Delivery]:
        yield from ()

    def _deliver(self, page: int, number: int, batch: tuple[Record, ...]) -> Delivery:
        body = encode_json(batch[0] if self._options.batch_size == 1 else list(batch))
        headers = {
            "Content-Type": "application/json",
            **self._options.headers,
            "Idempotency-Key": f"synclog-{self._context.run_id}-{page}-{number}",
        }
        request = HttpRequest(self._options.method, self._url, headers, body)
        self._context.in_flight = batch
        response = self._client.send(request)
        is_accepted = 200 <= response.status < 300
        if not is_accepted and (not 400 <= response.status < 500 or response.status in _DESTINATION_FAULTS):
            error = status_error(request, response)
            # By an earlier attempt.
            error.may_have_arrived = self._client.may_have_arrived
            raise error
        return Delivery(
            page=page,
            batch=number,
            accepted=len(batch) if is_accepted else 0,
            refused=0 if is_accepted else len(batch),
            outcome=f"{request}: {response.status_line}",
            request=request.as_body(),
            response=response.as_body(),
            refusal="" if is_accepted else excerpt(response.content) or response.status_line,
            records=batch,
        )


def join(base: str, path: str) -> str:
    """`path` appended to `base`, always with a slash, so that a path never becomes part of a host name."""
    if not path:
        return base
    if path.startswith("?"):
        return f"{base}{path}"
    return f"{base.rstrip('/')}/{path.lstrip('/')}"
