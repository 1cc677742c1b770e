"""HTTP servers in a thread of the tests."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Logs nothing."""


class JsonHandler(QuietHandler):
    # Keep-alive, as real servers use.
    protocol_version = "HTTP/1.1"

    def respond(self, status: int, body: bytes, reason: str | None = None) -> None:
        self.send_response(status, reason)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def http_server(
    handler: type[BaseHTTPRequestHandler],
    address: str = "127.0.0.1",
    *,
    certificate: Path | None = None,
    client_ca: Path | None = None,
) -> Iterator[str]:
    """Serves on any free port and yields the URL; with a PEM file of key and certificate, over TLS.

    With `client_ca`, clients need a certificate of that authority.
    """
    with _Server((address, 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            if client_ca:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_ca)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://{address}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Some tests interrupt a connection or kill the client.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
