"""Deletes logs and runs that are older than they are kept, in short transactions; runs that are held stay."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Sum
from django.db.models.functions import Now

from apps.runs.models import LogEntry, Payload, Run
from apps.runs.models.run import RunQuerySet
from apps.services.models import Service

logger = logging.getLogger(__name__)

# Lines that one transaction deletes: so many that looking at the runs again each time costs little, and so few that it
# takes a tenth of a second. On SQLite nobody else writes meanwhile.
LINES_AT_ONCE = 100_000 if connection.vendor == "postgresql" else 50_000
# Runs that one transaction deletes.
_RUNS_AT_ONCE = 500
# Runs that are looked up at once; the rest is for the next time.
_MOST_RUNS = 100_000


@dataclass
class Pruning:
    """What was deleted."""

    runs: int = 0
    lines: int = 0


def prune_logs(retention: timedelta, *, most_seconds: float = 600, dry_run: bool = False) -> Pruning:
    """Delete the runs that ended longer ago than they are kept, with their logs, oldest first.

    They are kept for `retention`, or what their service says, and while they are held or an object of theirs is
    in the payload store. What `most_seconds` are too short for is deleted next time. With `dry_run` nothing is
    deleted, and all of it counted.
    """
    old = _old_runs(retention)
    if dry_run:
        counts = old.aggregate(runs=Count("pk"), lines=Sum("line_count"))
        return Pruning(counts["runs"], counts["lines"] or 0)
    pruning = Pruning()
    until = time.monotonic() + most_seconds
    for batch in _batches(old):
        pruning.lines += _delete_lines(batch, old)
        pruning.runs += _delete_runs(batch, old)
        if time.monotonic() > until:
            break
    if pruning.runs:
        logger.info("Retention: %d runs and %d log lines deleted", pruning.runs, pruning.lines)
    return pruning


def _old_runs(retention: timedelta) -> RunQuerySet:
    """The runs that may be deleted, by the clock of the database whenever they are asked for."""
    own = set(Service.objects.values_list("log_retention_days", flat=True))
    days = sorted(number for number in own if number is not None)
    old = Q(service__log_retention_days=None, finished_at__lt=Now() - retention)
    for number in days:
        old |= Q(service__log_retention_days=number, finished_at__lt=Now() - timedelta(days=number))
    # The same again in terms of an index: a run starts before it ends.
    shortest = min([retention, *(timedelta(days=number) for number in days)])
    began = Q(started_at__lt=Now() - shortest) | Q(started_at=None)
    with_object = Payload.objects.with_object().filter(run=OuterRef("pk"))
    return (
        Run.objects.exclude(status__in=Run.OPEN)
        .filter(began, old, ~Exists(with_object))
        .exclude(held_until__gt=Now())
    )


def _batches(old: RunQuerySet) -> Iterator[list[int]]:
    """The numbers of old runs, oldest first, that have about LINES_AT_ONCE lines together, or one run of more."""
    batch: list[int] = []
    lines = 0
    oldest = old.order_by("pk").values_list("pk", "line_count")[:_MOST_RUNS]
    for number, line_count in list(oldest):
        if batch and (lines + line_count > LINES_AT_ONCE or len(batch) == _RUNS_AT_ONCE):
            yield batch
            batch, lines = [], 0
        batch.append(number)
        lines += line_count
    if batch:
        yield batch


def _delete_lines(batch: list[int], old: RunQuerySet) -> int:
    """Delete the logs of these runs, of a long one by ranges of its sequence; how many lines.

    Each transaction locks the runs first and looks again, so that a run which has just been held keeps the rest.
    """
    deleted = 0
    for part in _parts(batch):
        with transaction.atomic():
            doomed = _still_old(batch, old)
            chosen = LogEntry.objects.filter(part, run_id__in=doomed)
            # _raw_delete: nothing refers to a line, so there is nothing to collect.
            deleted += chosen._raw_delete(chosen.db) if doomed else 0
    return deleted


def _parts(batch: list[int]) -> Iterator[Q]:
    """What to delete at once: of several runs all lines, as they are few together; of one a range after the other."""
    if len(batch) > 1:
        yield Q()
        return
    lines = LogEntry.objects.filter(run_id__in=batch)
    # One by one: SQLite finds an end by the index, but reads all lines when it is asked for both.
    first, last = (lines.aggregate(end=end("sequence"))["end"] for end in (Min, Max))
    if last is not None:
        for start in range(first, last + 1, LINES_AT_ONCE):
            yield Q(sequence__gte=start, sequence__lt=start + LINES_AT_ONCE)


def _delete_runs(batch: list[int], old: RunQuerySet) -> int:
    with transaction.atomic():
        doomed = _still_old(batch, old)
        Payload.objects.filter(run_id__in=doomed).delete()
        Run.objects.filter(pk__in=doomed).delete()
    return len(doomed)


def _still_old(batch: list[int], old: RunQuerySet) -> list[int]:
    """Those of the batch that may still be deleted; nobody can hold them until the transaction has ended."""
    locked = old.filter(pk__in=batch).select_for_update(of=("self",))
    return list(locked.values_list("pk", flat=True))
