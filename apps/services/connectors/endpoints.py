"""Opens the source and the destination of a service."""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import ValidationError

from apps.services.connectors.base import ConnectorError, Destination, RunContext, Source
from apps.services.connectors.files.connector import FilePull, FilePush
from apps.services.connectors.http.pull import HttpPull, HttpRecordPull
from apps.services.connectors.http.push import HttpPush
from apps.services.definition.connection_url import validate_address
from apps.services.definition.file_options import FileDestination, FileSource
from apps.services.definition.options import read_destination, read_source
from apps.services.models import Connection, Service


def open_source(service: Service, context: RunContext, keys: Collection[str] | None = None) -> Source:
    """Opens the source of `service`. Raises ConnectorError if its settings are invalid.

    With `keys` only these records are needed; the source may pull others as well.
    """
    connection = _checked(service.source_connection)
    try:
        options = read_source(connection.kind, service.source_options, auth_header=connection.custom_header)
    except ValidationError as error:
        raise _unusable(service, "source", error) from None
    if isinstance(options, FileSource):
        return FilePull(connection, options, context)
    if keys is not None and options.record_path:
        return HttpRecordPull(connection, options, context, keys)
    return HttpPull(connection, options, context)


def open_destination(service: Service, context: RunContext) -> Destination:
    """Opens the destination of `service`. Raises ConnectorError if its settings are invalid."""
    connection = _checked(service.destination_connection)
    try:
        options = read_destination(
            connection.kind, service.destination_options, auth_header=connection.custom_header
        )
    except ValidationError as error:
        raise _unusable(service, "destination", error) from None
    if isinstance(options, FileDestination):
        return FilePush(connection, options, context)
    return HttpPush(connection, options, context)


def _checked(connection: Connection | None) -> Connection:
    """`connection`, with its address validated again: rows may be written without validation."""
    if connection is None:
        raise ConnectorError("A reported service runs elsewhere; there is nothing to pull or push.")
    try:
        validate_address(connection.kind, connection.url)
    except ValidationError as error:
        raise ConnectorError(f"Connection {connection.name}: {' '.join(error.messages)}") from None
    return connection


def _unusable(service: Service, side: str, error: ValidationError) -> ConnectorError:
    reasons = "; ".join(f"{key}: {' '.join(reasons)}" for key, reasons in error.message_dict.items())
    return ConnectorError(f"The {side} of service {service.slug} is invalid: {reasons}")
