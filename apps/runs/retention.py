"""Deletes logs and runs that are older than they are kept, a bounded batch at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from apps.runs.models import LogEntry, Payload, Run

logger = logging.getLogger(__name__)

# Lines that one transaction deletes, so that none holds its locks for long.
_LINES_AT_ONCE = 20_000


@dataclass
class Pruning:
    """What was deleted."""

    runs: int = 0
    lines: int = 0


def prune_logs(retention: timedelta, *, most_runs: int = 10_000, dry_run: bool = False) -> Pruning:
    """Delete the runs that ended longer than `retention` ago, with their logs, oldest first.

    A run stays while an object of it is in the payload store. With `dry_run` it is only counted.
    """
    with_object = Payload.objects.filter(run=OuterRef("pk")).exclude(
        status__in=(Payload.Status.DELETED, Payload.Status.LOST)
    )
    old = (
        Run.objects.exclude(status__in=Run.OPEN)
        .filter(~Exists(with_object), finished_at__lt=Now() - retention)
        .order_by("pk")
    )
    pruning = Pruning()
    for run in old.only("pk", "line_count")[:most_runs]:
        pruning.lines += run.line_count if dry_run else _delete_lines(run)
        pruning.runs += 1
        if not dry_run:
            with transaction.atomic():
                run.payloads.all().delete()
                run.delete()
    if pruning.runs and not dry_run:
        logger.info("Retention: %d runs and %d log lines deleted", pruning.runs, pruning.lines)
    return pruning


def _delete_lines(run: Run) -> int:
    """Delete the log of a run, by ranges of its sequence; how many lines."""
    lines = LogEntry.objects.filter(run_id=run.pk)
    deleted = 0
    while (first := lines.order_by("sequence").values_list("sequence", flat=True).first()) is not None:
        # _raw_delete: nothing refers to a line, so there is nothing to collect.
        deleted += lines.filter(sequence__lt=first + _LINES_AT_ONCE)._raw_delete(lines.db)
    return deleted
