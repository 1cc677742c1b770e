"""Pull of pages from a REST API."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from django.conf import settings
from jmespath.exceptions import JMESPathError

from apps.services.connectors.base import ConnectorError, Page, RunContext
from apps.services.connectors.formats.documents import (
    log_repeated_keys,
    parse_json,
    records_in,
)
from apps.services.connectors.http.client import HttpClient, status_error
from apps.services.connectors.http.messages import HttpRequest, HttpResponse
from apps.services.connectors.http.pagination import (
    PageRequest,
    PageResponse,
    Pagination,
    RepetitionGuard,
)
from apps.services.connectors.http.request_template import RequestTemplate, Values, join, with_parameters
from apps.services.connectors.http.results import is_false
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.http_options import HttpSource
from apps.services.exact_json import Parser
from apps.services.models import Connection

logger = logging.getLogger(__name__)

_NO_CONTENT = 204
_NOT_FOUND = {404, 410}
_MAX_ORIGIN_LENGTH = 2000


class HttpPull:
    """Pulls the records of one path page by page."""

    def __init__(self, connection: Connection, options: HttpSource, context: RunContext) -> None:
        self._options = options
        self._context = context
        self._client = HttpClient(connection, context)
        self._parser = Parser()
        # Of the placeholders that are the same in all requests.
        self._values: Values = {"run": context.run_id, "since": context.since}
        self._template = RequestTemplate(connection.url, options)
        self._pagination = Pagination(
            options.pagination,
            self._template,
            home=connection.url,
            page_size=context.page_size or options.page_size,
            values=self._values,
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
            if page is not None:
                yield page
            # Frees the page before the next one is pulled.
            del page

    def _pull(
        self, number: int, page_request: PageRequest, guard: RepetitionGuard
    ) -> tuple[Page | None, PageRequest | None]:
        """The page, None if the response ends the pull; and the request for the next page."""
        request = page_request.request
        response = self._client.send(request)
        if self._is_end(number, request, response):
            return None, None
        if not 200 <= response.status < 300:
            raise status_error(request, response)
        document = self._parsed(request, response)
        try:
            records = records_in(document, self._options.records, origin=f"the response of {request}")
        except ConnectorError as error:
            error.response = response.as_body()
            raise
        guard.check_body(response.content, len(records), str(request))
        pulled = PageResponse(str(request), response.url, len(records), document, response.headers)
        following = self._pagination.after(page_request, pulled)
        page = Page(
            number,
            records,
            _origin(request),
            response.as_body(),
            following=str(following.request) if following else "",
        )
        return page, following

    def _is_end(self, number: int, request: HttpRequest, response: HttpResponse) -> bool:
        """Whether the status ends the pull. Logs so; a warning if there was no page at all."""
        if response.status == _NO_CONTENT:
            logger.info("%s: %s, the pull ends", request, response.status_line)
            return True
        if response.status not in self._options.pagination.end_status:
            return False
        logger.log(
            logging.WARNING if number == 1 else logging.INFO,
            "%s: %s, the pull ends because of “end_status”%s",
            request,
            response.status_line,
            " without any page" if number == 1 else "",
        )
        return True

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
                f"{error}. It begins: {response.excerpt}",
                response=response.as_body(),
            ) from None
        log_repeated_keys(self._parser, str(request))
        self._check_success(request, response, document)
        return document

    def _check_success(self, request: HttpRequest, response: HttpResponse, document: Any) -> None:
        """Raises ConnectorError if `fail_if` is true for the response."""
        fail_if = self._options.fail_if
        if fail_if is None:
            return
        try:
            is_success = is_false(fail_if.search(document))
        except (JMESPathError, RecursionError) as error:
            raise ConnectorError(
                f"{request}: “{fail_if.text}” (fail_if) fails on the response: {error or 'nested too deeply'}.",
                response=response.as_body(),
            ) from None
        if not is_success:
            raise ConnectorError(
                f"{request}: {response.status_line}, but the response is an error, because “{fail_if.text}” (fail_if) "
                f"is true: {response.excerpt}",
                request=request.as_body(),
                response=response.as_body(),
            )


class HttpRecordPull(HttpPull):
    """Pulls the records with some keys, one request each; those that the source does not have are left out."""

    def __init__(
        self, connection: Connection, options: HttpSource, context: RunContext, keys: Collection[str]
    ) -> None:
        super().__init__(connection, options, context)
        self._url = join(connection.url, options.record_path)
        # A selected record may be older.
        self._values = {"run": context.run_id}
        # Dots would lead to another path.
        self._keys = sorted(key for key in keys if key.strip("."))

    def pages(self) -> Iterator[Page]:
        for number, key in enumerate(self._keys, 1):
            self._context.check()
            url = self._url.replace("{key}", quote(key, safe=""))
            url = with_parameters(url, self._template.parameters(self._values))
            headers = self._template.headers(self._values)
            request = HttpRequest("GET", url, headers, retried_statuses=self._options.retry_status)
            response = self._client.send(request)
            if response.status in _NOT_FOUND:
                continue
            if not 200 <= response.status < 300:
                raise status_error(request, response)
            document = self._parsed(request, response)
            records = document if isinstance(document, list) else [document]
            yield Page(number, records, _origin(request), response.as_body())


def _origin(request: HttpRequest) -> str:
    """The URL for the log, shortened."""
    url = without_secrets(request.url)
    return url if len(url) <= _MAX_ORIGIN_LENGTH else f"{url[:_MAX_ORIGIN_LENGTH]}…"
