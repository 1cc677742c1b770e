"""Receivers of alerts: a mail server, and an HTTP server for webhooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from typing import Any

from aiosmtpd.controller import Controller

from tests.http_server import QuietHandler, http_server


class MailServer:
    """Mails that were received, and the responses to addresses that are refused."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        # Addresses of each mail.
        self.recipients: list[list[str]] = []
        self.refused: dict[str, str] = {}
        self.port = 0

    @property
    def mailers(self) -> dict[str, Any]:
        """Django's MAILERS for this server."""
        options = {"host": "127.0.0.1", "port": self.port, "timeout": 5}
        return {"default": {"BACKEND": "config.smtp.EmailBackend", "OPTIONS": options}}

    async def handle_RCPT(  # noqa: N802 - its name in aiosmtpd
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the same
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


class _OnAnyPort(Controller):
    def _trigger_server(self) -> None:
        # It connects to the port to see that the server runs.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(port: int = 0) -> Iterator[MailServer]:
    """Runs a mail server, on any free port unless one is given."""
    server = MailServer()
    controller = _OnAnyPort(server, hostname="127.0.0.1", port=port)
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


class Receiver:
    """Requests that were received, and how to respond to them."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.respond: Callable[[BaseHTTPRequestHandler], None] = respond_with(204)


def respond_with(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Runs an HTTP server that accepts every POST."""
    receiver = Receiver()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            receiver.respond(self)

    with http_server(Handler) as receiver.url:
        yield receiver
