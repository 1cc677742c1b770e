"""Cost of each promise about logs, in microseconds per line: with it, and without it as the reference."""

import os
import statistics
import time
from functools import partial

from django.db import connection

from apps.runs.log.run_log import RunLog
from apps.runs.log.spool import Spool
from apps.runs.models import LogEntry
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.logs import LINES, claimed_run, logger, measure_log_call, raw_insert

ROUNDS = 5
# Lines that are each synchronized to the disk.
SYNCED_LINES = 300


@benchmark(
    "cost_of_masking_us",
    "µs",
    also={
        "cost_of_spool_us": "µs",
        "cost_of_fdatasync_us": "µs",
        "cost_of_foreign_key_us": "µs",
        "cost_of_seal_us": "µs",
    },
)
def guarantees() -> dict[str, Figure]:
    """A call of logger.info with masking and with a spool, each against one without, and the seal of a log.

    Also two promises that Synclog does not make: a spool that survives a power cut (fdatasync), and a foreign key
    from line to run.
    """
    return {
        "cost_of_masking_us": compare(measure_log_call, partial(measure_log_call, ()), rounds=ROUNDS),
        "cost_of_spool_us": compare(
            measure_log_call, partial(measure_log_call, spool_class=_NullSpool), rounds=ROUNDS
        ),
        "cost_of_fdatasync_us": compare(partial(_append, sync=True), partial(_append, sync=False), rounds=3),
        "cost_of_foreign_key_us": _foreign_key(),
        "cost_of_seal_us": Figure(statistics.median(_seal() for _round in range(3))),
    }


class _NullSpool(Spool):
    """Discards lines."""

    def append(self, line: bytes) -> None:
        """Does nothing."""


def _append(*, sync: bool) -> float:
    spool = Spool(1)
    spool.open()
    descriptor = os.open(spool.path, os.O_RDONLY)
    before = time.perf_counter()
    for _line in range(SYNCED_LINES):
        spool.append(b"x" * 120 + b"\n")
        if sync:
            os.fdatasync(descriptor)
    seconds = time.perf_counter() - before
    os.close(descriptor)
    spool.close()
    spool.remove()
    return seconds / SYNCED_LINES * 1e6


def _foreign_key() -> Figure:
    run = factories.make_run()
    key = "REFERENCES runs_run (id) DEFERRABLE INITIALLY DEFERRED"
    with connection.cursor() as cursor:
        for table, reference in (("lines_with_key", key), ("lines_without", "")):
            cursor.execute(
                f"CREATE TABLE {table} (run_id bigint NOT NULL {reference}, sequence bigint NOT NULL,"
                " logged_at timestamp with time zone NOT NULL, level smallint NOT NULL, step smallint NOT NULL,"
                " message text NOT NULL, PRIMARY KEY (run_id, sequence))"
            )

    def insert_into(table: str) -> float:
        insert = raw_insert(run.pk, LINES, table)
        before = time.perf_counter()
        insert()
        seconds = time.perf_counter() - before
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        return seconds / LINES * 1e6

    return compare(
        partial(insert_into, "lines_with_key"), partial(insert_into, "lines_without"), rounds=ROUNDS
    )


def _seal() -> float:
    """Seals a log whose lines are all in the table."""
    run, token = claimed_run()
    with RunLog(run, token) as log:
        for number in range(LINES):
            logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")
        while LogEntry.objects.filter(run_id=run.pk, sequence=LINES).count() == 0:
            time.sleep(0.05)
        before = time.perf_counter()
        assert log.seal().is_complete
        seconds = time.perf_counter() - before
        log.remove_spool()
    return seconds / LINES * 1e6
