"""Source and destination of the services under test; they know which lines the log must contain.

Each record has a number. The script logs it, and drops some records. The connector's lines about a push contain the
number, because the destination responds with `201 Record 15`, or refuses the record with `422 Record 17`. A push that
arrives proves that all earlier logging calls have returned.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.http_server import JsonHandler, http_server

PAGE_SIZE = 10
# Line of the script, and the two lines of the connector about a push: debug line and result.
SCRIPTED = re.compile(r"record (\d+)")
EXCHANGED = re.compile(r"POST \S+: \d+ Record (\d+), \d+ bytes in ")
PUSHED = re.compile(r"POST \S+: \d+ Record (\d+), 1 record (?:accepted|refused)")
_KEY = re.compile(r"synclog-(\d+)-(\d+)-(\d+)")


@dataclass(frozen=True)
class Push:
    """A received request: number and key of the record, and its time on the monotonic clock."""

    number: int
    key: str
    at: float


def is_dropped(number: int) -> bool:
    """Whether the script drops the record."""
    return number % 10 == 3


def is_refused(number: int) -> bool:
    """Whether the destination refuses the record."""
    return number % 10 == 7


class Witness:
    """Serves /source/<records> in pages and accepts POSTs to /destination; records each push by run."""

    def __init__(self, pace: float) -> None:
        self.url = ""
        # Duration of a push in seconds.
        self.pace = pace
        self._pushes: dict[int, list[Push]] = {}
        self._lock = threading.Lock()

    def pushes(self, run_id: int) -> list[Push]:
        """Returns the pushes of a run in order of arrival."""
        with self._lock:
            return list(self._pushes.get(run_id, ()))

    def record(self, key: str, number: int) -> None:
        found = _KEY.fullmatch(key)
        assert found, f"invalid idempotency key: {key!r}"
        with self._lock:
            self._pushes.setdefault(int(found.group(1)), []).append(Push(number, key, time.monotonic()))


def scripted_numbers(pushes: list[Push]) -> set[int]:
    """Records that the script must have logged: every page with at least one pushed record."""
    last = max((push.number for push in pushes), default=0)
    return set(range(1, last + (-last % PAGE_SIZE) + 1))


def pushed_numbers(pushes: list[Push]) -> set[int]:
    """Records whose push must have been logged: those followed by another push."""
    return {push.number for push in pushes} - {push.number for push in pushes[-1:]}


def page(number: int, count: int) -> bytes:
    first = (number - 1) * PAGE_SIZE + 1
    return json.dumps([{"n": n} for n in range(first, min(first + PAGE_SIZE, count + 1))]).encode()


@contextmanager
def witness(pace: float, address: str = "127.0.0.1") -> Iterator[Witness]:
    """Starts a witness at this address; a push takes `pace` seconds."""
    served = Witness(pace)

    class Handler(JsonHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            count = int(address.path.rpartition("/")[2])
            self.respond(200, page(int(parse_qs(address.query)["page"][0]), count))

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender was killed during the request.
                self.close_connection = True
                return
            number = json.loads(body)["n"]
            served.record(self.headers["Idempotency-Key"], number)
            time.sleep(served.pace)
            if is_refused(number):
                self.respond(422, b"unknown sku", f"Record {number}")
            else:
                self.respond(201, b'{"ok": true}', f"Record {number}")

    with http_server(Handler, address) as served.url:
        yield served
