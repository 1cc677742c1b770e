"""The source and the destination of the services under test: they know what must be in the log, whatever breaks.

Each record has a number. The script logs it, and so do the connector's lines about its push, for the destination
answers `201 Record 17`. What has arrived here proves that the logging calls before it had returned.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE_SIZE = 10
# What the script logs, and what the connector says of a push, twice: its debug line and its outcome.
SCRIPTED = re.compile(r"record (\d+)")
EXCHANGED = re.compile(r"POST \S+: 201 Record (\d+), \d+ bytes in ")
PUSHED = re.compile(r"POST \S+: 201 Record (\d+), 1 record accepted")
_KEY = re.compile(r"synclog-(\d+)-(\d+)-(\d+)")


@dataclass(frozen=True)
class Push:
    """One request that arrived: the record's number, its key, and the moment on the monotonic clock."""

    number: int
    key: str
    at: float


class Witness:
    """Serves /source/<records> in pages and takes POSTs to /destination; remembers each push by run."""

    def __init__(self, pace: float) -> None:
        self.url = ""
        # Seconds that a push takes.
        self.pace = pace
        self._pushes: dict[int, list[Push]] = {}
        self._lock = threading.Lock()

    def pushes(self, run_id: int) -> list[Push]:
        """What this run pushed, in the order in which it arrived."""
        with self._lock:
            return list(self._pushes.get(run_id, ()))

    def take(self, key: str, number: int) -> None:
        found = _KEY.fullmatch(key)
        assert found, f"a push without a key of its own: {key!r}"
        with self._lock:
            self._pushes.setdefault(int(found.group(1)), []).append(Push(number, key, time.monotonic()))


def scripted_numbers(pushes: list[Push]) -> set[int]:
    """The records that the script must have logged: all of each page of which something was pushed."""
    last = max((push.number for push in pushes), default=0)
    return set(range(1, last + (-last % PAGE_SIZE) + 1))


def pushed_numbers(pushes: list[Push]) -> set[int]:
    """The records whose push must have been logged: another push came after it."""
    return {push.number for push in pushes} - {push.number for push in pushes[-1:]}


def page(number: int, count: int) -> bytes:
    first = (number - 1) * PAGE_SIZE + 1
    return json.dumps([{"n": n} for n in range(first, min(first + PAGE_SIZE, count + 1))]).encode()


@contextmanager
def witness(pace: float) -> Iterator[Witness]:
    """A witness that listens; a push takes `pace` seconds."""
    ours = Witness(pace)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            count = int(address.path.rpartition("/")[2])
            self._answer(200, "OK", page(int(parse_qs(address.query)["page"][0]), count))

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                # Whoever sent it was killed in the middle.
                self.close_connection = True
                return
            number = json.loads(body)["n"]
            ours.take(self.headers["Idempotency-Key"], number)
            time.sleep(ours.pace)
            self._answer(201, f"Record {number}", b'{"ok": true}')

        def _answer(self, status: int, reason: str, body: bytes) -> None:
            self.send_response(status, reason)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                # The other end was killed, which is what we are here for.
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ours.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
