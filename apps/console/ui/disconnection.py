"""Whether the browser still waits for a response."""

from __future__ import annotations

import socket

from django.http import HttpRequest


def is_disconnected(request: HttpRequest) -> bool:
    """Whether the client has closed its connection; False if the web server does not expose it."""
    connection = request.META.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    except (OSError, ValueError):
        # A TLS socket has no such flags.
        return False
