"""Source and destination of the services under test; a program of its own, for a container.

GET /orders/<records>?page=… is a page of ten, POST /stock/<milliseconds> receives records after a pause, and
GET /received returns the numbers of all records in order.
"""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE_SIZE = 10
received: list[int] = []


class Handler(BaseHTTPRequestHandler):
    """Responds in JSON and logs nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/received":
            return self._respond(received)
        count = int(url.path.rpartition("/")[2])
        first = (int(parse_qs(url.query)["page"][0]) - 1) * PAGE_SIZE
        numbers = range(first, min(first + PAGE_SIZE, count))
        return self._respond([{"id": number, "quantity": number % 7} for number in numbers])

    def do_POST(self) -> None:
        records = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(int(self.path.rpartition("/")[2]) / 1000)
        received.extend(record["id"] for record in (records if isinstance(records, list) else [records]))
        self._respond({"ok": True})

    def _respond(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
