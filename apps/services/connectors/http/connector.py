"""The connector `http`: pulls pages from a REST API, pushes batches to one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import batched, count
from types import TracebackType
from typing import Any, Self

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Delivery, Page, Record, RunFacts
from apps.services.connectors.formats.documents import encode_json, excerpt, parse_json, records_in
from apps.services.connectors.http.client import Answer, Exchange, Outgoing, refused
from apps.services.connectors.http.pagination import PageRequest, Paging, Pulled, RepeatGuard, with_parameters
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.options import HttpDestination, HttpSource
from apps.services.models import Connection

# These say that the destination or its settings are at fault; any other 4xx is about the records.
_DESTINATION_FAULTS = {401, 403, 404, 405, 407}


class HttpPull:
    """Pulls the records of one path, page by page."""

    def __init__(self, connection: Connection, options: HttpSource, facts: RunFacts) -> None:
        self._options = options
        self._facts = facts
        self._exchange = Exchange(connection, facts)
        self._paging = Paging(
            options, join(connection.url, options.path), facts.page_size or options.page_size
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.close()

    def pages(self) -> Iterator[Page]:
        guard = RepeatGuard()
        request: PageRequest | None = self._paging.first()
        for number in count(1):
            if request is None:
                return
            if number > settings.MAX_PAGES:
                raise ConnectorError(
                    f"The source has more than {settings.MAX_PAGES} pages, the most of one run. Ask for larger pages, "
                    "or raise SYNCLOG_MAX_PAGES."
                )
            guard.check_position(request)
            self._facts.check()
            page, request = self._pull(number, request, guard)
            yield page
            # Let go of this page before the next is pulled.
            del page

    def _pull(self, number: int, request: PageRequest, guard: RepeatGuard) -> tuple[Page, PageRequest | None]:
        outgoing = Outgoing("GET", request.url, self._options.headers)
        answer = self._exchange.send(outgoing)
        if not 200 <= answer.status < 300:
            raise refused(outgoing, answer)
        document = _parsed(outgoing, answer)
        try:
            records = records_in(document, self._options.records, origin=f"the answer of {outgoing}")
        except ConnectorError as error:
            error.response = answer.as_body()
            raise
        guard.check_body(answer.content, len(records), str(outgoing))
        following = self._paging.after(request, Pulled(answer.url, len(records), document, answer.headers))
        return Page(number, records, without_secrets(request.url), answer.as_body()), following


class HttpPush:
    """Pushes records to one path, in batches."""

    def __init__(self, connection: Connection, options: HttpDestination, facts: RunFacts) -> None:
        self._options = options
        self._facts = facts
        self._exchange = Exchange(connection, facts)
        self._url = with_parameters(join(connection.url, options.path), options.params)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.close()

    def push(self, page: int, records: list[Record]) -> Iterator[Delivery]:
        for number, batch in enumerate(batched(records, self._options.batch_size), start=1):
            self._facts.check()
            yield self._deliver(page, number, batch)

    def finish(self) -> Iterator[Delivery]:
        yield from ()

    def _deliver(self, page: int, number: int, batch: tuple[Record, ...]) -> Delivery:
        body = encode_json(batch[0] if self._options.batch_size == 1 else list(batch))
        headers = {
            "Content-Type": "application/json",
            **self._options.headers,
            "Idempotency-Key": f"synclog-{self._facts.run_id}-{page}-{number}",
        }
        outgoing = Outgoing(self._options.method, self._url, headers, body)
        answer = self._exchange.send(outgoing)
        is_accepted = 200 <= answer.status < 300
        if not is_accepted and (not 400 <= answer.status < 500 or answer.status in _DESTINATION_FAULTS):
            raise refused(outgoing, answer)
        return Delivery(
            page=page,
            batch=number,
            accepted=len(batch) if is_accepted else 0,
            refused=0 if is_accepted else len(batch),
            outcome=f"{outgoing}: {answer.status_line}",
            request=outgoing.as_body(),
            response=answer.as_body(),
            refusal="" if is_accepted else excerpt(answer.content) or answer.status_line,
        )


def join(base: str, path: str) -> str:
    """The address of `path` below `base`; always parted by a slash, so that a path never becomes part of a host."""
    if not path:
        return base
    if path.startswith("?"):
        return f"{base}{path}"
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def _parsed(outgoing: Outgoing, answer: Answer) -> Any:
    try:
        return parse_json(answer.content)
    except ValueError as error:
        if not answer.content.strip():
            raise ConnectorError(f"{outgoing}: {answer.status_line}, but the answer is empty.") from None
        raise ConnectorError(
            f"{outgoing}: the answer ({answer.content_type or 'of no named type'}) is no JSON: {error}. "
            f"It begins: {excerpt(answer.content)}",
            response=answer.as_body(),
        ) from None
