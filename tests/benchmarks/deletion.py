"""Deletion of old log lines and of expired payloads."""

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from itertools import batched, count
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.runs.log.line_format import format_line, time_text
from apps.runs.log.shipper import Shipper
from apps.runs.log.spool import Spool
from apps.runs.models import LogEntry, Payload, Run
from apps.runs.recovery.retention import LINES_AT_ONCE
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.logs import claimed_run
from tests.benchmarks.rows import insert_lines, vacuum

# Enough that the fixed cost of a call does not matter.
LINES = 1_000_000
# BENCHMARK_OBJECTS=100000 measures more; most of the time goes into their upload.
OBJECTS = int(os.environ.get("BENCHMARK_OBJECTS", "4000"))
# More objects are measured in a single round, because their upload takes minutes.
MAX_OBJECTS_PER_ROUND = 20_000
KEYS_PER_CALL = 1_000

_numbers = count(1)


@benchmark(
    "retention_rows_per_s",
    "rows/s",
    also={"retention_transaction_s": "s", "retention_shipper_delay_s": "s"},
)
def retention() -> dict[str, Figure]:
    """`prune_logs` over a run of 1,000,000 lines, against raw DELETEs of the same batches.

    Then once more while a shipper writes: the longest transaction, and the longest batch of the shipper.
    """
    rate = compare(_prune, _delete_raw, rounds=3)
    _make_old_run()
    with longest_transaction() as longest, _shipping() as longest_batch:
        call_command("prune_logs")
    return {
        "retention_rows_per_s": rate,
        "retention_transaction_s": Figure(longest[0]),
        "retention_shipper_delay_s": Figure(longest_batch[0]),
    }


@benchmark("expiry_objects_per_s", "objects/s", databases=["postgresql"], with_s3=["postgresql"])
def expiry() -> Figure:
    """`delete_expired_payloads` over objects in S3, against raw DeleteObjects of 1,000 keys a call."""
    print(f"{OBJECTS:,} objects per round", file=sys.stderr)
    if OBJECTS > MAX_OBJECTS_PER_ROUND:
        return Figure(_expire(), _delete_objects())
    return compare(_expire, _delete_objects, rounds=3)


def _make_old_run() -> Run:
    long_ago = timezone.now() - settings.LOG_RETENTION - timedelta(days=1)
    run = factories.make_run(started_at=long_ago, finished_at=long_ago, line_count=LINES)
    insert_lines(run, LINES)
    vacuum("runs_logentry")
    return run


def _prune() -> float:
    run = _make_old_run()
    before = time.perf_counter()
    call_command("prune_logs")
    seconds = time.perf_counter() - before
    assert not Run.objects.filter(pk=run.pk).exists()
    assert not LogEntry.objects.filter(run_id=run.pk).exists()
    return LINES / seconds


@contextmanager
def longest_transaction() -> Iterator[list[float]]:
    """Seconds of the longest transaction of this thread within the block."""
    longest, started = [0.0], [0.0]
    set_autocommit = connection.set_autocommit

    def record(seconds: float) -> None:
        longest[0] = max(longest[0], seconds)

    def timed_set_autocommit(autocommit: bool, **options: Any) -> None:
        set_autocommit(autocommit, **options)
        if autocommit:
            record(time.perf_counter() - started[0])
        else:
            started[0] = time.perf_counter()

    def timed_execute(execute: Callable[..., Any], *arguments: Any) -> Any:
        before = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            record(time.perf_counter() - before)

    connection.set_autocommit = timed_set_autocommit
    try:
        with connection.execute_wrapper(timed_execute):
            yield longest
    finally:
        connection.set_autocommit = set_autocommit


@contextmanager
def _shipping() -> Iterator[list[float]]:
    """Ships 50 lines of a running run 20 times a second during the block; yields the seconds of the longest batch."""
    run, token = claimed_run()
    longest = [0.0]
    is_over = threading.Event()

    def ship() -> None:
        with closing(Spool(run.pk)) as spool:
            spool.open()
            shipper = Shipper(run, token, spool, dict)
            for first in count(1, 50):
                for sequence in range(first, first + 50):
                    spool.append(
                        format_line(run.pk, sequence, time_text(time.time()), 20, 2, "Pulled a page")
                    )
                before = time.perf_counter()
                shipper.finish()
                # The first batch opens the connection.
                if first > 1:
                    longest[0] = max(longest[0], time.perf_counter() - before)
                if is_over.wait(0.05):
                    break
            spool.remove()
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(ship)
        try:
            yield longest
        finally:
            is_over.set()
            shipping.result()


def _delete_raw() -> float:
    run = factories.make_run(line_count=LINES)
    insert_lines(run, LINES)
    vacuum("runs_logentry")
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
            service=run.service,
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
    vacuum("runs_payload")
    before = time.perf_counter()
    call_command("delete_expired_payloads")
    seconds = time.perf_counter() - before
    assert run.payloads.filter(status=Payload.Status.DELETED).count() == OBJECTS
    return OBJECTS / seconds


def _delete_objects() -> float:
    keys = _upload()
    client = storages["payloads"].connection.meta.client
    before = time.perf_counter()
    for batch in batched(keys, KEYS_PER_CALL):
        client.delete_objects(
            Bucket=settings.STORAGES["payloads"]["OPTIONS"]["bucket_name"],
            Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
        )
    return OBJECTS / (time.perf_counter() - before)


_BODY = b'[{"id": 1, "sku": "A-1"}]'


def _upload() -> list[str]:
    """Uploads objects under keys like those of payloads; returns the keys."""
    run = next(_numbers)
    keys = [f"payloads/{timezone.now():%Y/%m/%d}/{run}/{uuid.uuid4().hex}" for _object in range(OBJECTS)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_put, (keys[first::4] for first in range(4))))
    return keys


def _put(keys: Iterable[str]) -> None:
    """Uploads without `put_object` of botocore, which takes twice the time of the server; botocore only signs."""
    url = urlsplit(os.environ["AWS_S3_ENDPOINT_URL"])
    bucket = settings.STORAGES["payloads"]["OPTIONS"]["bucket_name"]
    credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    signer = S3SigV4Auth(credentials, "s3", os.environ["AWS_S3_REGION_NAME"])
    with closing(HTTPConnection(url.netloc)) as http:
        for key in keys:
            request = AWSRequest("PUT", f"{url.geturl()}/{bucket}/{key}", data=_BODY)
            signer.add_auth(request)
            http.request("PUT", f"/{bucket}/{key}", _BODY, dict(request.headers))
            with http.getresponse() as response:
                assert response.status == 200, response.read()
                response.read()
