"""Pull of pages from a REST API."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Page, RunContext
from apps.services.connectors.formats.documents import (
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
    join,
    with_parameters,
)
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.http_options import HttpSource
from apps.services.exact_json import Parser
from apps.services.models import Connection

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
