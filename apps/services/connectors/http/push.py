"""Push of batches to a REST API."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import batched
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from apps.services.connectors.address_guard import check_host
from apps.services.connectors.base import Delivery, Outgoing, Record, RunContext
from apps.services.connectors.formats.documents import encode_json
from apps.services.connectors.http.client import HttpClient, status_error
from apps.services.connectors.http.messages import HttpRequest, HttpResponse
from apps.services.connectors.http.record_path import RecordPath, RecordRefused
from apps.services.connectors.http.request_template import join, with_parameters
from apps.services.connectors.http.results import refusals_in
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.http_options import HttpDestination
from apps.services.models import Connection

logger = logging.getLogger(__name__)

# Statuses for which the destination or its settings are wrong; any other 4xx refuses the records.
_DESTINATION_FAULTS = {401, 403, 404, 405, 407}
_NOT_FOUND = 404
# The body contains a status for each record.
_MULTI_STATUS = 207


class HttpPush:
    """Pushes records in batches: to one path, or each record to a path of its own."""

    def __init__(self, connection: Connection, options: HttpDestination, context: RunContext) -> None:
        self._options = options
        self._context = context
        self._client = HttpClient(connection, context)
        self._has_warned = False
        self.skips_unchanged = options.skip_unchanged
        self._path = RecordPath(with_parameters(join(connection.url, options.path), options.params))
        # The path of a single record may be missing without any fault of the destination.
        self._faults = _DESTINATION_FAULTS - ({_NOT_FOUND} if self._path.fields else set())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def push(self, page: int, records: list[Record]) -> Iterator[Delivery]:
        for number, batch in enumerate(batched(records, self._options.batch_size), start=1):
            self._context.check()
            try:
                request = self._request(page, number, batch)
            except RecordRefused as error:
                yield _delivery(page, number, batch, {0: str(error)}, outcome=f"{self._shown}: not sent")
            else:
                yield self._deliver(page, number, batch, request)

    def preview(self, page: int, records: list[Record]) -> Iterator[Outgoing]:
        check_host(urlsplit(self._path.url).hostname or "")
        for number, batch in enumerate(batched(records, self._options.batch_size), start=1):
            try:
                request = self._request(page, number, batch)
            except RecordRefused as error:
                yield Outgoing(self._shown, refusal=str(error))
            else:
                yield Outgoing(self._client.head_of(request), (request.body or b"").decode())

    def finish(self) -> Iterator[Delivery]:
        yield from ()

    @property
    def _shown(self) -> str:
        """Method and path, with the names of fields in braces."""
        return f"{self._options.method} {without_secrets(self._path.url)}"

    def _request(self, page: int, number: int, batch: tuple[Record, ...]) -> HttpRequest:
        """Raises RecordRefused if the path has no place for the record."""
        url = self._path.url_for(batch[0])
        headers = {
            **self._options.headers,
            "Idempotency-Key": f"synclog-{self._context.run_id}-{page}-{number}",
        }
        body = self._body(batch)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        return HttpRequest(
            self._options.method, url, headers, body, final_statuses=self._options.accept_status
        )

    def _deliver(self, page: int, number: int, batch: tuple[Record, ...], request: HttpRequest) -> Delivery:
        self._context.in_flight = batch
        response = self._client.send(request)
        refusals = self._refusals(request, response, batch)
        return _delivery(
            page,
            number,
            batch,
            refusals,
            outcome=f"{request}: {response.status_line}",
            request=request.as_body(),
            response=response.as_body(),
            status=str(response.status) if 400 <= response.status < 500 else "",
        )

    def _body(self, batch: tuple[Record, ...]) -> bytes | None:
        options = self._options
        if options.method == "DELETE" and self._path.fields:
            return None
        if options.wrap:
            return encode_json({options.wrap: list(batch)})
        return encode_json(batch[0] if options.batch_size == 1 else list(batch))

    def _refusals(
        self, request: HttpRequest, response: HttpResponse, batch: tuple[Record, ...]
    ) -> Mapping[int, str]:
        """Reasons by position. Raises ConnectorError if the destination failed or its results are unclear."""
        if response.status in self._options.accept_status:
            return {}
        if 200 <= response.status < 300:
            if self._options.results is not None:
                return refusals_in(self._options.results, request, response, len(batch))
            self._warn_of_ignored_results(request, response)
            return {}
        if not 400 <= response.status < 500 or response.status in self._faults:
            error = status_error(request, response)
            # By an earlier attempt.
            error.may_have_arrived = self._client.may_have_arrived
            raise error
        reason = response.excerpt or response.reason
        if self._client.may_have_arrived:
            reason += " (an earlier attempt, whose response is missing, may have been accepted)"
        return dict.fromkeys(range(len(batch)), reason)

    def _warn_of_ignored_results(self, request: HttpRequest, response: HttpResponse) -> None:
        """Logs once that the response may contain refusals."""
        if response.status == _MULTI_STATUS and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: %s, but refused records are not recognized. Describe the response in “results” of the "
                "destination. It begins: %s",
                request,
                response.status_line,
                response.excerpt,
            )


def _delivery(
    page: int, number: int, batch: tuple[Record, ...], refusals: Mapping[int, str], **other: Any
) -> Delivery:
    accepted = len(batch) - len(refusals)
    return Delivery(page, number, accepted, len(refusals), records=batch, refusals=refusals, **other)
