"""Hosts of addresses, and the addresses to which they resolve."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from apps.services.connectors.address_guard import resolve
from apps.services.connectors.base import ConnectorError
from apps.services.connectors.network_errors import connection_error

# Of the detail.
_MAX_ADDRESSES = 4


def resolved(url: str) -> str:
    """Host of `url` and its addresses. Raises ConnectorError if it is unknown or not allowed."""
    host = urlsplit(url).hostname or ""
    try:
        addresses = resolve(host)
    except OSError as error:
        raise connection_error(host, error) from error
    except UnicodeError:
        raise ConnectorError(f"{host}: not a valid host name.") from None
    more = " …" if len(addresses) > _MAX_ADDRESSES else ""
    return host if addresses == [host] else f"{host}: {', '.join(addresses[:_MAX_ADDRESSES])}{more}"


def address_of(connected: socket.socket) -> str:
    """Address and port of the other end."""
    host, port = connected.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
