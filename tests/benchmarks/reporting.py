"""Rate of lines that one client reports over HTTP."""

import json
import time
from contextlib import closing
from itertools import batched

from django.utils import timezone

from apps.runs.models import LogEntry, Run
from apps.services.models import Service
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.logs import LINES, insert_raw
from tests.benchmarks.web import Connection, Web, request_bytes, token_headers

# The largest batch of the API.
BATCH_LINES = 10_000


@benchmark("ingest_http_lines_per_s", "lines/s")
def ingest() -> Figure:
    """One client, one connection, NDJSON of 10,000 lines a request, against COPY or executemany of the same rows."""
    service = factories.make_service(kind=Service.Kind.REPORTED)
    _token, secret = factories.make_token()
    batches = [b"".join(batch) for batch in batched(map(_line, range(1, LINES + 1)), BATCH_LINES)]
    with Web() as web:
        return compare(lambda: _report(web.port, service.slug, secret, batches), insert_raw, rounds=3)


def _report(port: int, slug: str, secret: str, batches: list[bytes]) -> float:
    with closing(Connection(port)) as connection:
        run_id = json.loads(_post(connection, f"/api/v1/services/{slug}/runs/", secret, b"{}"))["id"]
        before = time.perf_counter()
        for batch in batches:
            response = _post(connection, f"/api/v1/runs/{run_id}/log/", secret, batch, "application/x-ndjson")
        seconds = time.perf_counter() - before
    assert json.loads(response)["last_sequence"] == LINES
    lines = LogEntry.objects.filter(run_id=run_id)
    assert lines.count() == LINES
    lines.delete()
    Run.objects.filter(pk=run_id).delete()
    return LINES / seconds


def _post(
    connection: Connection, path: str, secret: str, body: bytes, content_type: str = "application/json"
) -> bytes:
    headers = token_headers(secret) | {"Content-Type": content_type, "Content-Length": str(len(body))}
    status, response = connection.send(request_bytes(path, headers, method="POST") + body)
    assert status in (200, 201), response
    return response


def _line(sequence: int) -> bytes:
    line = {
        "sequence": sequence,
        "logged_at": timezone.now().isoformat(),
        "level": "info",
        "step": "pull",
        "message": f"Pulled page {sequence}: 100 records from https://shop.example/orders",
    }
    return json.dumps(line).encode() + b"\n"
