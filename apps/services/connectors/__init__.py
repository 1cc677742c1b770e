"""Connectors: how a run talks to the systems at its two ends."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from apps.services.connectors.base import ConnectorError, Destination, RunFacts, Source
from apps.services.connectors.files.connector import FilePull, FilePush
from apps.services.connectors.http.connector import HttpPull, HttpPush
from apps.services.definition.connection_url import validate_address
from apps.services.definition.options import FileDestination, FileSource, read_destination, read_source
from apps.services.models import Connection, Service

__all__ = ["ConnectorError", "open_destination", "open_source"]


def open_source(service: Service, facts: RunFacts) -> Source:
    """Where `service` pulls from. Raises ConnectorError where its settings do not allow it."""
    connection = _checked(service.source_connection)
    try:
        options = read_source(connection.kind, service.source_options, auth_header=connection.custom_header)
    except ValidationError as error:
        raise _unusable(service, "source", error) from None
    if isinstance(options, FileSource):
        return FilePull(connection, options, facts)
    return HttpPull(connection, options, facts)


def open_destination(service: Service, facts: RunFacts) -> Destination:
    """Where `service` pushes to. Raises ConnectorError where its settings do not allow it."""
    connection = _checked(service.destination_connection)
    try:
        options = read_destination(
            connection.kind, service.destination_options, auth_header=connection.custom_header
        )
    except ValidationError as error:
        raise _unusable(service, "destination", error) from None
    if isinstance(options, FileDestination):
        return FilePush(connection, options, facts)
    return HttpPush(connection, options, facts)


def _checked(connection: Connection | None) -> Connection:
    """`connection`, whose address may have come into its row without being looked at."""
    if connection is None:
        raise ConnectorError("A reported service runs elsewhere: there is nothing to pull or push here.")
    try:
        validate_address(connection.kind, connection.url)
    except ValidationError as error:
        raise ConnectorError(f"Connection {connection.name}: {' '.join(error.messages)}") from None
    return connection


def _unusable(service: Service, side: str, error: ValidationError) -> ConnectorError:
    reasons = "; ".join(f"{key}: {' '.join(reasons)}" for key, reasons in error.message_dict.items())
    return ConnectorError(f"The {side} of the service {service.slug} is not usable: {reasons}")
