"""Pulls and pushes in one call, without the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apps.services.connectors.base import Delivery, Page, RunContext
from apps.services.connectors.endpoints import open_destination, open_source
from apps.services.models import Connection, Service


def connection_to(url: str, **fields: Any) -> Connection:
    """Returns an unsaved connection; the scheme of `url` determines its kind."""
    secret = fields.pop("secret", "")
    kind = "http" if url.startswith("http") else "file"
    connection = Connection(**{"name": "other-system", "kind": kind, "url": url} | fields)
    connection.set_secret(secret)
    return connection


def make_context(
    *,
    max_attempts: int = 1,
    page_size: int | None = None,
    check: Callable[[], None] = lambda: None,
    run_id: int = 7,
) -> RunContext:
    return RunContext(run_id=run_id, max_attempts=max_attempts, page_size=page_size, check=check)


def pull(connection: Connection, options: dict[str, Any], context: RunContext | None = None) -> list[Page]:
    service = Service(slug="tested", source_connection=connection, source_options=options)
    with open_source(service, context or make_context()) as source:
        return list(source.pages())


def push(
    connection: Connection,
    options: dict[str, Any],
    pages: Sequence[list[Any]],
    context: RunContext | None = None,
) -> list[Delivery]:
    """Pushes `pages`, numbered from 1, and returns the deliveries."""
    service = Service(slug="tested", destination_connection=connection, destination_options=options)
    with open_destination(service, context or make_context()) as destination:
        deliveries = [
            delivery
            for number, records in enumerate(pages, start=1)
            for delivery in destination.push(number, records)
        ]
        return [*deliveries, *destination.finish()]


def bytes_of(delivery_or_page_body: Any) -> bytes:
    with delivery_or_page_body.open() as stream:
        return bytes(stream.read())
