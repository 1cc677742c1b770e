"""Source and destination systems of the demo, on this machine."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

ORDERS: list[dict[str, Any]] = [
    {
        "id": 10_000 + number,
        "placed_at": f"2026-03-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00Z",
        # Support staff will ask about this one.
        "email": None if number == 45 else f"customer-{number % 90}@example.com",
        "lines": [
            {"sku": f"TEA-{(number * 7 + line) % 40:03}", "quantity": 1 + (number + line) % 5}
            for line in range(1 + number % 3)
        ],
    }
    for number in range(1, 251)
]
READINGS = [
    {"meter": f"M-{number:04}", "kwh": 180 + number * 37 % 240, "read_at": "2026-03-01T00:00:00Z"}
    for number in range(1, 601)
]
INVOICES = [
    {"number": f"R-{7000 + number}", "net": 1000 + number * 173 % 9000}
    | ({} if number == 57 else {"vat": {"rate": 20}})
    for number in range(1, 121)
]

# Orders to confirm by mail; the address of order 10045 is entered once its mail was refused.
CONFIRMATIONS = 60
_is_address_entered = threading.Event()

READINGS_PAUSE = 2.0  # Seconds per page of readings.
BUSY_PAGE = 12

type HttpResponse = tuple[HTTPStatus, dict[str, Any], dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    """Responds with JSON, one record a line, and writes no log."""

    protocol_version = "HTTP/1.1"

    def respond(self, status: HTTPStatus, document: dict[str, Any], headers: dict[str, str]) -> None:
        body = _one_record_a_line(document).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": len(body),
            **headers,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """No output: the log of the run shows the requests."""


def _one_record_a_line(document: dict[str, Any]) -> str:
    members = []
    for name, value in document.items():
        records = isinstance(value, list)
        text = "[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if records else json.dumps(value)
        members.append(f"{json.dumps(name)}: {text}")
    return "{" + ", ".join(members) + "}\n"


class SourceHandler(_Handler):
    """Source: orders and confirmations by page, meter readings by cursor, invoices by offset."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        routes: dict[str, Callable[[dict[str, str]], HttpResponse]] = {
            "/orders": _orders,
            "/confirmations": _confirmations,
            "/readings": _readings,
            "/invoices": _invoices,
        }
        folder, _slash, name = address.path[1:].partition("/")
        if folder == "confirmations" and name:
            self.respond(*_confirmation(name))
        elif route := routes.get(address.path):
            try:
                self.respond(*route(dict(parse_qsl(address.query))))
            except ValueError:
                self.respond(
                    HTTPStatus.BAD_REQUEST,
                    {"error": "Page, size, offset, limit and after must be numbers."},
                    {},
                )
        else:
            self.respond(HTTPStatus.NOT_FOUND, {"error": f"Not found: {address.path}"}, {})


class DestinationHandler(_Handler):
    """Destination for shipments, mails, billing items and bookings; refuses mails without an address."""

    PATHS: ClassVar = ("/shipments", "/mails", "/billing", "/bookings")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path not in self.PATHS:
            self.respond(HTTPStatus.NOT_FOUND, {"error": f"Not found: {self.path}"}, {})
            return
        try:
            items = json.loads(body)
        except ValueError:
            self.respond(HTTPStatus.BAD_REQUEST, {"error": "The body is not JSON."}, {})
            return
        items = items if isinstance(items, list) else [items]
        if self.path == "/mails" and any(isinstance(item, dict) and not item.get("email") for item in items):
            _is_address_entered.set()
            self.respond(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": "No e-mail address."}, {})
        elif all(isinstance(item, dict) for item in items):
            self.respond(HTTPStatus.CREATED, {"accepted": len(items)}, {})
        else:
            self.respond(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": "Each item must be an object."}, {})


def _orders(query: dict[str, str]) -> HttpResponse:
    page, size = int(query.get("page", 1)), int(query.get("size", 100))
    start = (page - 1) * size
    return HTTPStatus.OK, {"total": len(ORDERS), "orders": ORDERS[start : start + size]}, {}


def _confirmations(query: dict[str, str]) -> HttpResponse:
    page, size = int(query.get("page", 1)), int(query.get("size", 20))
    orders = [_with_address(order) for order in ORDERS[:CONFIRMATIONS]]
    return HTTPStatus.OK, {"orders": orders[(page - 1) * size : page * size]}, {}


def _confirmation(number: str) -> HttpResponse:
    for order in ORDERS[:CONFIRMATIONS]:
        if str(order["id"]) == number:
            return HTTPStatus.OK, _with_address(order), {}
    return HTTPStatus.NOT_FOUND, {"error": f"No order {number}."}, {}


def _with_address(order: dict[str, Any]) -> dict[str, Any]:
    if order["email"] is None and _is_address_entered.is_set():
        return {**order, "email": "customer-45@example.com"}
    return order


def _invoices(query: dict[str, str]) -> HttpResponse:
    start, limit = int(query.get("offset", 0)), int(query.get("limit", 40))
    return HTTPStatus.OK, {"total": len(INVOICES), "invoices": INVOICES[start : start + limit]}, {}


_busy_page_asked = itertools.count()


def _readings(query: dict[str, str]) -> HttpResponse:
    """Slow, and busy at every second request of page 12, so that a retry can be seen."""
    start, limit = int(query.get("after", 0)), int(query.get("limit", 20))
    if start == (BUSY_PAGE - 1) * limit and next(_busy_page_asked) % 2 == 0:
        return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "Busy; try again."}, {"Retry-After": "1"}
    time.sleep(READINGS_PAUSE)
    end = start + limit
    following = str(end) if end < len(READINGS) else None
    return HTTPStatus.OK, {"readings": READINGS[start:end], "next": following}, {}


@contextmanager
def demo_systems() -> Iterator[tuple[str, str]]:
    """Serves both systems on free ports; returns their addresses."""
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (SourceHandler, DestinationHandler)
    ]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    try:
        source, destination = (f"http://127.0.0.1:{server.server_port}" for server in servers)
        yield source, destination
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
