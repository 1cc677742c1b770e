"""A real HTTP server in a thread, for tests of HTTP clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.http_server import QuietHandler, http_server


@dataclass(frozen=True)
class Request:
    """A received request; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int = 200
    body: bytes | Iterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass
class Web:
    """A running server: its URL and the received requests."""

    url: str
    requests: list[Request]


def reply_json(value: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


@contextmanager
def serving(
    respond: Callable[[Request], Reply], *, certificate: Path | None = None, client_ca: Path | None = None
) -> Iterator[Web]:
    """Serves the replies of `respond`; with a PEM file of key and certificate, over TLS.

    With `client_ca`, clients need a certificate of that authority.
    """
    requests: list[Request] = []

    class Handler(QuietHandler):
        # Keep-alive, as real servers use.
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            request = _received(self)
            requests.append(request)
            reply = respond(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if isinstance(reply.body, bytes) and "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            try:
                for chunk in [reply.body] if isinstance(reply.body, bytes) else reply.body:
                    self.wfile.write(chunk)
            except OSError:
                # The client closed the connection.
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    with http_server(Handler, certificate=certificate, client_ca=client_ca) as url:
        yield Web(url, requests)


def _received(handler: BaseHTTPRequestHandler) -> Request:
    parts = urlsplit(handler.path)
    return Request(
        handler.command,
        parts.path,
        {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
        {name.lower(): value for name, value in handler.headers.items()},
        handler.rfile.read(int(handler.headers.get("Content-Length", 0))),
    )
