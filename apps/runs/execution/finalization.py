"""Finalization of runs: seals the log, sets the expiry of payloads, plans retries."""

from __future__ import annotations

import logging
import time
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.functions import Now

from apps.runs.execution.incremental import NextSince
from apps.runs.execution.run_end import announce_run_end
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost, limit_concurrent_writes
from apps.runs.log.stored_lines import append_lines, stored_counts
from apps.runs.models import Level, RecordSelection, Run, SourceFile
from apps.runs.payloads.expiry import set_expiry
from apps.services.models import Service

logger = logging.getLogger(__name__)

# Pause before the first retry, doubled with each further one, and its maximum.
FIRST_RETRY_PAUSE = timedelta(seconds=60)
MAX_RETRY_PAUSE = timedelta(hours=1)

FAILURES = (Run.Status.FAILED, Run.Status.LOST)


@dataclass(frozen=True)
class FollowUp:
    """What follows the end of a run: a retry after some time, or a paused schedule, or nothing."""

    retry_after: timedelta | None = None
    pauses_schedule: bool = False
    # Lines for the log of the run.
    lines: tuple[tuple[Level, str], ...] = ()


def plan_follow_up(run: Run, status: Run.Status, *, may_retry: bool = True) -> FollowUp:
    """Decides what follows when `run` ends with `status`.

    A failed or lost run is retried if its service allows it, unless it was a dry run, was to be cancelled, or would
    end the same way (`may_retry`). If this failure pauses the schedule, there is no retry.
    """
    if status not in FAILURES or run.is_dry_run:
        return FollowUp()
    service = Service.objects.get(pk=run.service_id)
    if _reaches_failure_limit(run, service):
        line = (
            f"Schedule paused after {service.pause_after_failures} consecutive failures. Turn it on "
            "again once the cause is fixed."
        )
        return FollowUp(pauses_schedule=True, lines=((Level.WARNING, line),))
    is_unwanted = not may_retry or Run.objects.filter(pk=run.pk).exclude(cancel_requested_at=None).exists()
    if is_unwanted or run.attempt > service.retry_limit or service.is_reported:
        return FollowUp()
    pause = retry_pause(run.attempt)
    line = f"Retry {run.attempt} of {service.retry_limit} in {pause.total_seconds():.0f} s"
    return FollowUp(retry_after=pause, lines=((Level.INFO, line),))


def retry_pause(attempt: int) -> timedelta:
    """Pause before the retry of attempt number `attempt`, counted from 1."""
    doublings = min(max(attempt - 1, 0), 16)
    return min(FIRST_RETRY_PAUSE * (1 << doublings), MAX_RETRY_PAUSE)


def end_run(
    run: Run,
    token: uuid.UUID,
    log: RunLog,
    status: Run.Status,
    *,
    may_retry: bool = True,
    next_since: NextSince | None = None,
) -> None:
    """Seals the log and ends the run; repeats while the database is unreachable and the lease lasts.

    The outcome is first recorded beside the spool, so that it is known even if the lease runs out. Raises
    LeaseLost.
    """
    log.record_end(status, may_retry=may_retry)
    follow_up = None
    while True:
        try:
            if follow_up is None:
                follow_up = plan_follow_up(run, status, may_retry=may_retry)
                for level, line in follow_up.lines:
                    logger.log(level, "%s", line)
            seal = log.seal()
            with limit_concurrent_writes(), transaction.atomic():
                _save_end(run, token, status, follow_up, **(log.counters() | seal.columns()))
                if next_since is not None:
                    next_since.save()
            log.remove_spool()
        except (DatabaseError, InterfaceError):
            connection.close()
            log.check_lease()
            time.sleep(1)
        else:
            return


def end_run_without_spool(
    run: Run,
    token: uuid.UUID,
    status: Run.Status,
    level: Level,
    message: str,
    *,
    counters: Mapping[str, Any] | None = None,
    may_retry: bool = True,
    missing: str = "",
    checksum: int | None = None,
) -> None:
    """Ends a run under its lease: appends `message` as its last line to the log in the database.

    `counters` are columns that the former worker left; `missing` says why lines may be missing; `checksum` is the
    checksum of the lines before. Raises LeaseLost.
    """
    follow_up = plan_follow_up(run, status, may_retry=may_retry)
    with transaction.atomic():
        chunk = append_lines(run, [(level, message), *follow_up.lines])
        outcome = {**(counters or {}), **stored_counts(run)}
        if level is Level.ERROR and not outcome.get("error"):
            outcome |= {
                "error": message[:500],
                "error_sequence": outcome["line_count"] - len(follow_up.lines),
            }
        if missing:
            outcome |= {"is_complete": False, "lost_reason": missing[:200]}
        if checksum is not None:
            outcome["log_checksum"] = zlib.crc32(chunk, checksum)
        _save_end(run, token, status, follow_up, **outcome)


def _save_end(run: Run, token: uuid.UUID, status: Run.Status, follow_up: FollowUp, **outcome: object) -> None:
    """Ends the run in the caller's transaction, together with what follows. Raises LeaseLost.

    One conditional UPDATE decides: a run ends once and has at most one retry.
    """
    if not run.finish(token, status, **outcome):
        raise LeaseLost
    if status == Run.Status.SUCCEEDED:
        SourceFile.objects.record_read(run)
    set_expiry(run, settings.PAYLOAD_RETENTION)
    if follow_up.pauses_schedule:
        Service.objects.active().filter(pk=run.service_id).update(is_active=False, paused_at=Now())
    if follow_up.retry_after is not None:
        retry = Run.objects.create(
            service=run.service,
            script=run.service.current_script(),
            retry_of=run,
            replay_of_id=run.replay_of_id,
            trigger=Run.Trigger.RETRY,
            options=run.options,
            store_pull=run.store_pull,
            store_push=run.store_push,
            store_script=run.store_script,
            attempt=run.attempt + 1,
            due_at=Now() + follow_up.retry_after,
        )
        for selection in RecordSelection.objects.filter(run=run):
            RecordSelection.objects.create(run=retry, keys=selection.keys)
    announce_run_end(run.pk)


def _reaches_failure_limit(run: Run, service: Service) -> bool:
    """Whether this is the failure after which the schedule is paused."""
    failure_limit = service.pause_after_failures
    if not failure_limit or not service.is_active:
        return False
    before = (
        Run.objects.filter(service=service, is_dry_run=False, pk__lt=run.pk)
        .filter(status__in=(Run.Status.SUCCEEDED, *FAILURES))
        .order_by("-pk")
        .values_list("status", flat=True)[: failure_limit - 1]
    )
    statuses = list(before)
    return len(statuses) == failure_limit - 1 and set(statuses) <= set(FAILURES)
