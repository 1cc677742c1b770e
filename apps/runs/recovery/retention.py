"""Retention: deletes old runs and their logs in short transactions; held runs stay."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Sum
from django.db.models.functions import Now

from apps.runs.audit_entries import copy_reads
from apps.runs.models import LogEntry, Payload, Run, RunProblem
from apps.runs.models.run_queryset import RunQuerySet
from apps.runs.recovery.record_retention import PAUSE, delete_records
from apps.runs.recovery.retention_period import ended_before
from apps.services.models import Service

logger = logging.getLogger(__name__)

# Lines per transaction: enough that checking the runs again is cheap, few enough that it takes a tenth of a second.
# On SQLite no other process can write meanwhile.
LINES_AT_ONCE = 100_000 if connection.vendor == "postgresql" else 50_000
# Runs per transaction.
_RUNS_AT_ONCE = 500
# Runs that are looked up at once; the rest waits for the next run.
_MAX_RUNS = 100_000


@dataclass
class Pruning:
    """Number of deleted runs and lines."""

    runs: int = 0
    lines: int = 0


def prune_logs(retention: timedelta, *, max_seconds: float = 600, dry_run: bool = False) -> Pruning:
    """Deletes runs that ended longer ago than their retention, with their logs, oldest first.

    The retention is that of the service or `retention`; held runs and runs with an object in the payload store
    stay. What does not fit into `max_seconds` is deleted next time. With `dry_run` everything is only counted.
    """
    old = _old_runs(retention)
    if dry_run:
        counts = old.aggregate(runs=Count("pk"), lines=Sum("line_count"))
        return Pruning(counts["runs"], counts["lines"] or 0)
    pruning = Pruning()
    until = time.monotonic() + max_seconds
    for batch in _batches(old):
        pruning.lines += _delete_lines(batch, old)
        for _deleted in delete_records(old.filter(pk__in=batch)):
            pass
        pruning.runs += _delete_runs(batch, old)
        if time.monotonic() > until:
            break
    if pruning.runs:
        logger.info("Retention: %d runs and %d log lines deleted", pruning.runs, pruning.lines)
    return pruning


def _old_runs(retention: timedelta) -> RunQuerySet:
    """Runs that may be deleted, by the clock of the database at the time of the query."""
    days = Service.objects.aggregate(days=Min("log_retention_days"))["days"]
    shortest = retention if days is None else min(retention, timedelta(days=days))
    # The same condition in terms of an index: a run starts before it ends.
    began = Q(started_at__lt=Now() - shortest) | Q(started_at=None)
    old = ended_before(retention, "log_retention_days")
    with_object = Payload.objects.with_object().filter(run=OuterRef("pk"))
    return (
        Run.objects.exclude(status__in=Run.OPEN)
        .filter(began, old, ~Exists(with_object))
        .exclude(held_until__gt=Now())
    )


def _batches(old: RunQuerySet) -> Iterator[list[int]]:
    """Numbers of old runs, oldest first, with about LINES_AT_ONCE lines together, or one run with more."""
    batch: list[int] = []
    lines = 0
    oldest = old.order_by("pk").values_list("pk", "line_count")[:_MAX_RUNS]
    for number, line_count in list(oldest):
        if batch and (lines + line_count > LINES_AT_ONCE or len(batch) == _RUNS_AT_ONCE):
            yield batch
            batch, lines = [], 0
        batch.append(number)
        lines += line_count
    if batch:
        yield batch


def _delete_lines(batch: list[int], old: RunQuerySet) -> int:
    """Deletes the logs of these runs, a long one in ranges of its sequence; returns the number of lines.

    Each transaction locks the runs and checks them again: a run that was just held keeps the rest.
    """
    deleted = 0
    for part in _parts(batch):
        with transaction.atomic():
            deletable = _still_old(batch, old)
            chosen = LogEntry.objects.filter(part, run_id__in=deletable)
            # _raw_delete: nothing refers to a line, so there is nothing to collect.
            deleted += chosen._raw_delete(chosen.db) if deletable else 0
        time.sleep(PAUSE)
    return deleted


def _parts(batch: list[int]) -> Iterator[Q]:
    """What to delete at once: all lines of several runs, or one range after another of a single run."""
    if len(batch) > 1:
        yield Q()
        return
    lines = LogEntry.objects.filter(run_id__in=batch)
    # Separate queries: SQLite finds one end by the index, but scans all lines for both.
    first, last = (lines.aggregate(end=end("sequence"))["end"] for end in (Min, Max))
    if last is not None:
        for start in range(first, last + 1, LINES_AT_ONCE):
            yield Q(sequence__gte=start, sequence__lt=start + LINES_AT_ONCE)


def _delete_runs(batch: list[int], old: RunQuerySet) -> int:
    with transaction.atomic():
        deletable = _still_old(batch, old)
        copy_reads(deletable)
        Payload.objects.filter(run_id__in=deletable).delete()
        RunProblem.objects.filter(run_id__in=deletable).delete()
        Run.objects.filter(pk__in=deletable).delete()
    return len(deletable)


def _still_old(batch: list[int], old: RunQuerySet) -> list[int]:
    """Runs of the batch that may still be deleted; locked, so that they cannot be held meanwhile."""
    locked = old.filter(pk__in=batch).select_for_update(of=("self",))
    return list(locked.values_list("pk", flat=True))
