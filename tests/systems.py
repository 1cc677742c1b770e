"""External systems of services under test: a paginated source and a destination that records requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from apps.services.models import Service
from tests.factories import make_connection, make_service
from tests.http_server import JsonHandler, http_server


class Systems:
    """Serves /orders in pages (`page`, `size`) and one by one, accepts POSTs to /stock; records the bodies of both."""

    def __init__(self, records: list[dict[str, object]]) -> None:
        self.records = records
        # Bodies sent by the source, by page; bodies received by the destination, in order.
        self.sent: dict[int, bytes] = {}
        self.received: list[bytes] = []
        self.url = ""
        # Texts that make the destination refuse a request whose body contains them.
        self.refused: list[bytes] = []
        # Called with each body before the destination responds; a result replaces the status 201.
        self.before_response: Callable[[bytes], int | None] = lambda _body: None
        # While clear, the source delays its responses.
        self.may_respond = threading.Event()
        self.may_respond.set()

    def page(self, number: int, size: int) -> bytes:
        body = json.dumps(self.records[(number - 1) * size : number * size], indent=1).encode()
        self.sent[number] = body
        return body


@contextmanager
def systems(records: list[dict[str, object]]) -> Iterator[Systems]:
    served = Systems(records)

    class Handler(JsonHandler):
        def do_GET(self) -> None:
            served.may_respond.wait(60)
            path = urlsplit(self.path).path
            if path.startswith("/orders/"):
                name = unquote(path.removeprefix("/orders/"))
                found = [record for record in served.records if str(record["id"]) == name]
                self.respond(200 if found else 404, json.dumps(found[0] if found else {}).encode())
                return
            query = parse_qs(urlsplit(self.path).query)
            self.respond(200, served.page(int(query["page"][0]), int(query["size"][0])))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.received.append(body)
            if any(text in body for text in served.refused):
                self.respond(422, b"unknown sku")
                return
            self.respond(served.before_response(body) or 201, b'{"ok": true}')

    with http_server(Handler) as served.url:
        try:
            yield served
        finally:
            served.may_respond.set()


def service_between(world: Systems, **fields: Any) -> Service:
    """Creates a service from /orders, in pages of ten, to /stock of the same systems."""
    both = make_connection(url=world.url)
    options = {
        "path": "/orders",
        "page_size": 10,
        "pagination": {"type": "page", "page_param": "page", "size_param": "size"},
    }
    return make_service(
        **{
            "source_connection": both,
            "source_options": options,
            "destination_connection": both,
            "destination_options": {"path": "/stock", "batch_size": 100},
            **fields,
        }
    )
