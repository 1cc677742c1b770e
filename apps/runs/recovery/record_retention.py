"""Retention of records: deletes the outcomes of records of old runs in short transactions; held runs keep theirs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import batched

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.runs.models import Record, Run
from apps.runs.models.run_queryset import RunQuerySet
from apps.runs.recovery.retention_period import ended_before

logger = logging.getLogger(__name__)

# Records per transaction: see LINES_AT_ONCE in `retention`.
RECORDS_AT_ONCE = 50_000
# Seconds between two transactions: SQLite has no queue, and a waiting process would find it locked at every attempt.
PAUSE = 0 if connection.vendor == "postgresql" else 0.02
# Runs per transaction.
_RUNS_AT_ONCE = 500
# Runs that are looked up at once; the rest waits for the next run.
_MAX_RUNS = 100_000


@dataclass
class RecordPruning:
    """Number of deleted records, and of the runs that they belonged to."""

    runs: int = 0
    records: int = 0


def prune_records(*, max_seconds: float = 600, dry_run: bool = False) -> RecordPruning:
    """Deletes the records of runs that ended longer ago than the retention of their service, oldest first.

    What does not fit into `max_seconds` is deleted next time. With `dry_run` everything is only counted.
    """
    old = _runs_with_old_records()
    if dry_run:
        return RecordPruning(old.count(), Record.objects.filter(run__in=old).count())
    pruning = RecordPruning()
    until = time.monotonic() + max_seconds
    oldest = list(old.order_by("finished_at").values_list("pk", flat=True)[:_MAX_RUNS])
    for batch in batched(oldest, _RUNS_AT_ONCE):
        for deleted in delete_records(old.filter(pk__in=batch)):
            pruning.runs += deleted.runs
            pruning.records += deleted.records
            if time.monotonic() > until:
                return pruning
    if pruning.runs:
        logger.info("Retention: %d records of %d runs deleted", pruning.records, pruning.runs)
    return pruning


def delete_records(runs: RunQuerySet) -> Iterator[RecordPruning]:
    """Deletes the records of these runs, up to RECORDS_AT_ONCE in a transaction; yields what each has deleted.

    It locks the runs, so that they cannot be held meanwhile, and marks those without further records.
    """
    # The run whose records are partly deleted, and the line of the next one.
    position: tuple[int, int] | None = (0, 0)
    while position is not None:
        pruning, position = _delete_part(runs, *position)
        time.sleep(PAUSE)
        yield pruning


@transaction.atomic
def _delete_part(
    runs: RunQuerySet, partly_deleted: int, next_line: int
) -> tuple[RecordPruning, tuple[int, int] | None]:
    done: list[int] = []
    deleted = 0
    position = None
    locked = runs.filter(has_records=True).select_for_update(of=("self",)).order_by("pk")
    for run_id in list(locked.values_list("pk", flat=True)):
        start = next_line if run_id == partly_deleted else 0
        count, after = _delete_records_of(run_id, start, RECORDS_AT_ONCE - deleted)
        deleted += count
        if after is not None:
            position = (run_id, after)
            break
        done.append(run_id)
    Run.objects.filter(pk__in=done).update(has_records=False)
    return RecordPruning(len(done), deleted), position


def _delete_records_of(run_id: int, start: int, limit: int) -> tuple[int, int | None]:
    """Deletes up to `limit` records of a run from line `start` on; returns their number and the line of the next, None
    if there is none.

    Without `start`, the database would search through the index entries of what was just deleted.
    """
    records = Record.objects.filter(run=run_id, sequence__gte=start)
    # The offset is small, and the index contains the column.
    after = records.order_by("sequence").values_list("sequence", flat=True)[limit : limit + 1].first()
    if after is None:
        return records._raw_delete(records.db), None
    earlier = records.filter(sequence__lt=after)
    return earlier._raw_delete(earlier.db) or _delete_some_of_line(run_id, after, limit), after


def _delete_some_of_line(run_id: int, sequence: int, limit: int) -> int:
    """Deletes up to `limit` records of one line, which has more of them, by the addresses of their rows."""
    table = connection.ops.quote_name(Record._meta.db_table)
    row = "ctid" if connection.vendor == "postgresql" else "rowid"
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE {row} IN"  # noqa: S608 - our own names
            f" (SELECT {row} FROM {table} WHERE run_id = %s AND sequence = %s LIMIT %s)",
            [run_id, sequence, limit],
        )
        return int(cursor.rowcount)


def _runs_with_old_records() -> RunQuerySet:
    old = ended_before(settings.RECORD_RETENTION, "record_retention_days")
    return (
        Run.objects.filter(old, has_records=True).exclude(status__in=Run.OPEN).exclude(held_until__gt=Now())
    )
