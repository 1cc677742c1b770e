"""Records: the cost of tracking them, their size, the search for one, and their deletion."""

import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import batched
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from apps.console.records.export import HEADER, record_rows
from apps.console.ui.csv_export import csv_chunks
from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.log.run_log import RunLog
from apps.runs.models import Record, Run
from apps.runs.records.keys import key_expressions
from apps.runs.records.tracking import RecordTracker
from apps.runs.recovery.record_retention import RECORDS_AT_ONCE
from apps.services.connectors.base import Delivery
from apps.services.models import Service
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.logs import claimed_run
from tests.benchmarks.pages import against_raw_sql, superuser_client
from tests.benchmarks.rows import insert_records, insert_records_of_runs, insert_runs, vacuum
from tests.memory import peak_mib, resident_mib

# Records of one run; BENCHMARK_RECORDS=1000000 measures more.
RECORDS = int(os.environ.get("BENCHMARK_RECORDS", "100000"))
# Rows that are searched; BENCHMARK_SEARCHED_RECORDS=100000000 takes eight minutes on two cores and 12 GB.
SEARCHED_RECORDS = int(
    os.environ.get("BENCHMARK_SEARCHED_RECORDS")
    or (30_000_000 if os.environ.get("BENCHMARK_DATABASE") == "postgresql" else 10_000_000)
)
PAGE_SIZE = 1_000
BATCH_SIZE = 100
# Runs that contain the key that is searched.
RUNS = 100
SEARCHES = 200
LARGE_RUN = 1_000_000
# Enough that the fixed cost of a call does not matter.
DELETED_RECORDS = 500_000


@benchmark("record_cost_us", "µs/record", also={"record_pipeline_us": "µs/record", "record_bytes": "bytes"})
def record_cost() -> dict[str, Figure]:
    """A run from start to end, per record, against the same run without tracking; pages of 1,000, batches of 100.

    Source and destination are a web server in another process. Then the share of the pipeline, and the size of a
    stored record with its indexes.
    """
    print(f"{RECORDS:,} records per run", file=sys.stderr)
    with _systems() as url:
        tracked, untracked = _service(url, track_records=True), _service(url, track_records=False)
        cost = compare(lambda: _execute(tracked), lambda: _execute(untracked), rounds=2)
    pipeline = Figure(statistics.median(_track() for _round in range(7)))
    return {"record_cost_us": cost, "record_pipeline_us": pipeline, "record_bytes": Figure(_bytes())}


@benchmark("record_search_ms", f"ms in {SEARCHED_RECORDS / 1e6:g} M rows")
def record_search() -> Figure:
    """The latest 50 of 100 runs of one key, among BENCHMARK_SEARCHED_RECORDS rows, with what resolved them."""
    before = time.monotonic()
    insert_records_of_runs(SEARCHED_RECORDS, runs=RUNS)
    print(f"{SEARCHED_RECORDS:,} rows in {time.monotonic() - before:.0f} s", file=sys.stderr)
    keys = SEARCHED_RECORDS // RUNS
    times = []
    for number in range(SEARCHES):
        key = str(100_001 + number * 7919 % keys)
        started = time.perf_counter()
        records = list(Record.objects.with_key(key).latest_first().with_resolution()[:50])
        times.append((time.perf_counter() - started) * 1000)
        assert len(records) == 50, (key, len(records))
    print(f"p95 {statistics.quantiles(times, n=20)[-1]:.1f} ms", file=sys.stderr)
    return Figure(statistics.median(times))


@benchmark("records_page_ms", "ms", also={"search_page_ms": "ms"})
def pages() -> dict[str, Figure]:
    """The records page of a run with 1,000,000 records, and a search for all its keys, each against its SQL."""
    run = _make_large_run()
    client = superuser_client()
    return {
        "records_page_ms": against_raw_sql(client, f"{reverse('admin:records')}?run={run.pk}"),
        "search_page_ms": against_raw_sql(client, f"{reverse('admin:search')}?q=1*"),
    }


@benchmark("record_csv_rows_per_s", "rows/s", also={"record_csv_memory_mib": "MiB"})
def record_csv() -> dict[str, Figure]:
    """The CSV of a run with 1,000,000 records, and how much this process grows meanwhile after the first rows."""
    records = Record.objects.filter(run=_make_large_run()).latest_first()
    chunks = csv_chunks(HEADER, record_rows(records))
    before = time.perf_counter()
    rows = next(chunks).count(b"\n") + next(chunks).count(b"\n") - 1
    grown_from = resident_mib(os.getpid())
    with peak_mib(os.getpid()) as peak:
        rows += sum(chunk.count(b"\n") for chunk in chunks)
    seconds = time.perf_counter() - before
    assert rows == LARGE_RUN, rows
    return {
        "record_csv_rows_per_s": Figure(rows / seconds),
        "record_csv_memory_mib": Figure(peak[0] - grown_from),
    }


@benchmark("record_retention_rows_per_s", "rows/s")
def record_retention() -> Figure:
    """`prune_records` over a run of 500,000 records, against raw DELETEs of the same batches."""
    return compare(_prune, _delete_raw, rounds=3)


@contextmanager
def _systems() -> Iterator[str]:
    """URL of a source with RECORDS records and of a destination that accepts everything, in another process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Systems)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    connection.close()
    process.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        process.terminate()
        server.server_close()


class _Systems(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        number = int(parse_qs(urlsplit(self.path).query)["page"][0])
        self._respond(json.dumps(_page(number)).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._respond(b'{"ok": true}')

    def _respond(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: object) -> None:
        """Logs nothing."""


def _page(number: int, size: int = RECORDS) -> list[dict[str, Any]]:
    first = (number - 1) * PAGE_SIZE
    return [
        {
            "id": 100_000 + order,
            "customer": {"name": "Ada Lovelace", "city": "London", "country": "GB"},
            "sku": f"A-{order % 500}",
            "quantity": 3,
            "price": 19.95,
            "currency": "GBP",
            "status": "paid",
        }
        for order in range(first, min(first + PAGE_SIZE, size))
    ]


def _service(url: str, **fields: Any) -> Service:
    system = factories.make_connection(url=url)
    return factories.make_service(
        source_connection=system,
        source_options={"path": "/orders", "pagination": {"type": "page", "page_param": "page"}},
        destination_connection=system,
        destination_options={"path": "/stock", "batch_size": BATCH_SIZE},
        **fields,
    )


def _execute(service: Service) -> float:
    """Microseconds per record of a run."""
    run_id = queue_run(service, trigger=Run.Trigger.MANUAL).pk
    before = time.perf_counter()
    run = execute_run(run_id, worker="benchmark")
    seconds = time.perf_counter() - before
    assert run is not None
    assert (run.status, run.pushed_count) == ("succeeded", RECORDS), run.error
    return seconds / RECORDS * 1e6


def _track() -> float:
    """Microseconds per record in the pipeline: pulled, and pushed in batches."""
    run, token = claimed_run()
    log = RunLog(run, token)
    tracker = RecordTracker(run, log, *key_expressions(run.service))
    pages = [_page(number, 50_000) for number in range(1, 51)]
    deliveries = [
        [
            Delivery(page=number, batch=batch, accepted=len(records), refused=0, outcome="", records=records)
            for batch, records in enumerate(batched(page, BATCH_SIZE), 1)
        ]
        for number, page in enumerate(pages, 1)
    ]
    before = time.perf_counter()
    for number, page in enumerate(pages, 1):
        tracker.pull(number, page)
        for delivery in deliveries[number - 1]:
            tracker.deliver(delivery)
    seconds = time.perf_counter() - before
    log.remove_spool()
    return seconds / 50_000 * 1e6


def _bytes() -> float:
    """Bytes of a stored record with its indexes."""
    count = Record.objects.count()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size('runs_record')")
        else:
            cursor.execute(
                "SELECT sum(pgsize) FROM dbstat WHERE name IN"
                " (SELECT name FROM sqlite_master WHERE tbl_name = 'runs_record')"
            )
        return float(cursor.fetchone()[0] / count)


def _make_large_run() -> Run:
    run = factories.make_run(has_records=True)
    insert_records(run, LARGE_RUN)
    insert_runs(1_000, services=1, seconds_apart=900)
    vacuum("runs_record")
    return run


def _make_old_run() -> Run:
    long_ago = timezone.now() - settings.RECORD_RETENTION - timedelta(days=1)
    run = factories.make_run(started_at=long_ago, finished_at=long_ago, has_records=True)
    insert_records(run, DELETED_RECORDS)
    vacuum("runs_record")
    return run


def _prune() -> float:
    run = _make_old_run()
    before = time.perf_counter()
    call_command("prune_records")
    seconds = time.perf_counter() - before
    assert not Record.objects.filter(run=run).exists()
    return DELETED_RECORDS / seconds


def _delete_raw() -> float:
    run = _make_old_run()
    lines = RECORDS_AT_ONCE // 100
    before = time.perf_counter()
    with connection.cursor() as cursor:
        for first in range(1, DELETED_RECORDS // 100 + 2, lines):
            cursor.execute(
                "DELETE FROM runs_record WHERE run_id = %s AND sequence BETWEEN %s AND %s",
                [run.pk, first, first + lines - 1],
            )
    seconds = time.perf_counter() - before
    assert not Record.objects.exists()
    return DELETED_RECORDS / seconds
