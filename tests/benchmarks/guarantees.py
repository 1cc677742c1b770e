"""What each promise about a log costs: with it, beside without it, in microseconds a line."""

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
from tests.benchmarks.logs import LINES, claimed_run, logger, raw_insert, say_in_run

ROUNDS = 5
# Of which each is forced to the disk.
FORCED_LINES = 300


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
    """A call of logger.info with a secret to hide, and with a spool, each against one without.

    Then what we do without: a line in the spool that is forced to the disk, which would outlive a power cut, against
    one that outlives any end of the process; a row with a foreign key to its run, against one as ours are. Last the
    seal of a log: its lines counted, and its checksum.
    """
    return {
        "cost_of_masking_us": compare(say_in_run, partial(say_in_run, ()), rounds=ROUNDS),
        "cost_of_spool_us": compare(say_in_run, partial(say_in_run, spool_class=_Nowhere), rounds=ROUNDS),
        "cost_of_fdatasync_us": compare(
            partial(_append, force=True), partial(_append, force=False), rounds=3
        ),
        "cost_of_foreign_key_us": _foreign_key(),
        "cost_of_seal_us": Figure(statistics.median(_seal() for _round in range(3))),
    }


class _Nowhere(Spool):
    """Takes lines and keeps none."""

    def append(self, line: bytes) -> None:
        """Away with it."""


def _append(*, force: bool) -> float:
    spool = Spool(1)
    spool.open()
    descriptor = os.open(spool.path, os.O_RDONLY)
    before = time.perf_counter()
    for _line in range(FORCED_LINES):
        spool.append(b"x" * 120 + b"\n")
        if force:
            os.fdatasync(descriptor)
    seconds = time.perf_counter() - before
    os.close(descriptor)
    spool.close()
    spool.remove()
    return seconds / FORCED_LINES * 1e6


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
    """Of a log whose lines are all in the table already."""
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
