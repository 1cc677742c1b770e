"""What it takes to forget: lines that are older than they are kept, objects that have expired."""

import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import batched, count

from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.runs.models import LogEntry, Payload, Run
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.rows import clean_up, insert_lines

LINES = 400_000
# As many as ours deletes at once.
LINES_AT_ONCE = 20_000
# 100,000 are measured by BENCHMARK_OBJECTS; most of the time goes into uploading them.
OBJECTS = int(os.environ.get("BENCHMARK_OBJECTS", "4000"))
KEYS_A_CALL = 1_000

_numbers = count(1)


@benchmark("retention_rows_per_s", "rows/s")
def retention() -> Figure:
    """`prune_logs` over a run of 400,000 lines, against raw DELETEs of 20,000 of the same."""
    return compare(_prune, _delete_raw, rounds=3)


@benchmark("expiry_objects_per_s", "objects/s", databases=["postgresql"], with_s3=["postgresql"])
def expiry() -> Figure:
    """`delete_expired_payloads` over objects in S3, against raw DeleteObjects of 1,000 keys a call."""
    print(f"Deleted are {OBJECTS:,} objects at a time", file=sys.stderr)
    return compare(_expire, _delete_objects, rounds=3)


def _prune() -> float:
    long_ago = timezone.now() - settings.LOG_RETENTION - timedelta(days=1)
    run = factories.make_run(started_at=long_ago, finished_at=long_ago, line_count=LINES)
    insert_lines(run, LINES)
    clean_up("runs_logentry")
    before = time.perf_counter()
    call_command("prune_logs")
    seconds = time.perf_counter() - before
    assert not Run.objects.filter(pk=run.pk).exists()
    assert not LogEntry.objects.exists()
    return LINES / seconds


def _delete_raw() -> float:
    run = factories.make_run(line_count=LINES)
    insert_lines(run, LINES)
    clean_up("runs_logentry")
    before = time.perf_counter()
    with connection.cursor() as cursor:
        for first in range(1, LINES + 1, LINES_AT_ONCE):
            cursor.execute(
                "DELETE FROM runs_logentry WHERE run_id = %s AND sequence BETWEEN %s AND %s",
                [run.pk, first, first + LINES_AT_ONCE - 1],
            )
    seconds = time.perf_counter() - before
    assert not LogEntry.objects.exists()
    return LINES / seconds


def _expire() -> float:
    run = factories.make_run()
    keys = _upload()
    Payload.objects.bulk_create(
        Payload(
            run=run,
            kind=Payload.Kind.PULL,
            name="page-00001.json",
            content_type="application/json",
            key=key,
            status=Payload.Status.STORED,
            size=len(_BODY),
            sha256="0" * 64,
            expires_at=timezone.now() - timedelta(minutes=1),
        )
        for key in keys
    )
    clean_up("runs_payload")
    before = time.perf_counter()
    call_command("delete_expired_payloads")
    seconds = time.perf_counter() - before
    assert run.payloads.filter(status=Payload.Status.DELETED).count() == OBJECTS
    return OBJECTS / seconds


def _delete_objects() -> float:
    keys = _upload()
    client = storages["payloads"].connection.meta.client
    before = time.perf_counter()
    for some in batched(keys, KEYS_A_CALL):
        client.delete_objects(
            Bucket=settings.STORAGES["payloads"]["OPTIONS"]["bucket_name"],
            Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
        )
    return OBJECTS / (time.perf_counter() - before)


_BODY = b'[{"id": 1, "sku": "A-1"}]'


def _upload() -> list[str]:
    """Objects under keys as ours are."""
    client = storages["payloads"].connection.meta.client
    bucket = settings.STORAGES["payloads"]["OPTIONS"]["bucket_name"]
    run = next(_numbers)
    keys = [f"payloads/{timezone.now():%Y/%m/%d}/{run}/{uuid.uuid4().hex}" for _object in range(OBJECTS)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=_BODY), keys))
    return keys
