"""Pull of JSON pages over HTTP."""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe
from urllib.parse import parse_qs, urlsplit

import requests

from apps.services.connectors.base import RunContext
from apps.services.connectors.endpoints import open_source
from apps.services.models import Connection, Service
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.memory import peak_mib, resident_mib

PAGES = 20
MANY_PAGES = 1000
RECORDS_PER_PAGE = 1000
ROUNDS = 9


@benchmark("http_pull_records_per_s", "records/s", databases=["sqlite"], also={"http_pull_memory_mib": "MiB"})
def http_pull() -> dict[str, Figure]:
    """Records with exact numbers, against requests and json, which round them, on the same pages; growth of this
    process while it pulls 1,000 pages.
    """
    with _shop() as url:
        before = resident_mib(os.getpid())
        with peak_mib(os.getpid()) as peak:
            _pull(url, MANY_PAGES)
        speed = compare(lambda: _pull(url), lambda: _read(url), rounds=ROUNDS)
    print(f"The process had {before:.1f} MiB before, and {peak[0]:.1f} MiB at most", file=sys.stderr)
    return {"http_pull_records_per_s": speed, "http_pull_memory_mib": Figure(max(peak[0] - before, 0))}


def _pull(url: str, page_count: int = PAGES) -> float:
    options = {"path": "/orders", "page_size": RECORDS_PER_PAGE, "params": {"pages": page_count}}
    options |= {"pagination": {"type": "page", "size_param": "size"}}
    service = Service(
        slug="pull",
        source_connection=Connection(name="shop", kind="http", url=url),
        source_options=options,
    )
    before = time.perf_counter()
    with open_source(service, RunContext(run_id=1, max_attempts=1)) as source:
        count = sum(len(page.records) for page in source.pages())
    return count / (time.perf_counter() - before)


def _read(url: str) -> float:
    count, page, records = 0, 0, [None]
    before = time.perf_counter()
    with requests.Session() as session:
        while records:
            page += 1
            params = {"page": str(page), "size": str(RECORDS_PER_PAGE), "pages": str(PAGES)}
            records = json.loads(session.get(f"{url}/orders", params=params).content)
            count += len(records)
    return count / (time.perf_counter() - before)


@contextmanager
def _shop() -> Iterator[str]:
    """A server in a process of its own."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(pipe: Pipe) -> None:
    bodies = [_body(page) for page in range(1, PAGES + 1)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            page = int(query["page"][0])
            body = bodies[page % PAGES] if page <= int(query["pages"][0]) else b"[]"
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def _body(page: int) -> bytes:
    first = (page - 1) * RECORDS_PER_PAGE
    records = (
        f'{{"id": {number}, "sku": "SKU-{number:08d}", "name": "Wasserkocher 1,7 l, gebürstet", '
        f'"price": {number % 997}.90, "rate": {number}.1234567890123456789, "quantity": {number % 50}, '
        f'"serial": {2**70 + number}, "updated_at": "2026-01-05T12:00:00Z", "tags": ["a", "b"], "note": null, '
        f'"customer": {{"id": {number * 7}, "city": "Köln", "is_active": true}}}}'
        for number in range(first, first + RECORDS_PER_PAGE)
    )
    return f"[{','.join(records)}]".encode()
