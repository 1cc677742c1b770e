"""Retention of records: deletes the outcomes of records of old runs in short transactions; held runs keep theirs."""

from __future__ import annotations

import logging
import time
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
        while deleted := delete_some_records(old.filter(pk__in=batch)):
            pruning.records += deleted
            if time.monotonic() > until:
                return pruning
        pruning.runs += old.filter(pk__in=batch).update(has_records=False)
    if pruning.runs:
        logger.info("Retention: %d records of %d runs deleted", pruning.records, pruning.runs)
    return pruning


def delete_some_records(runs: RunQuerySet) -> int:
    """Deletes up to RECORDS_AT_ONCE records of these runs in one transaction; returns their number.

    The runs are locked, so that they cannot be held meanwhile.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        run_ids = list(runs.select_for_update(of=("self",)).values_list("pk", flat=True))
        if not run_ids:
            return 0
        table = connection.ops.quote_name(Record._meta.db_table)
        row = "ctid" if connection.vendor == "postgresql" else "rowid"
        marks = ", ".join(["%s"] * len(run_ids))
        # By the address of the row: a range of keys or lines would not bound the number of rows.
        cursor.execute(
            f"DELETE FROM {table} WHERE {row} IN (SELECT {row} FROM {table} WHERE run_id IN ({marks}) LIMIT %s)",  # noqa: S608 - our own names
            [*run_ids, RECORDS_AT_ONCE],
        )
        return int(cursor.rowcount)


def _runs_with_old_records() -> RunQuerySet:
    old = ended_before(settings.RECORD_RETENTION, "record_retention_days")
    return (
        Run.objects.filter(old, has_records=True).exclude(status__in=Run.OPEN).exclude(held_until__gt=Now())
    )
