"""Ends runs: seals the log, lets the payloads expire, and sees to what follows a failure."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.functions import Now

from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost, turn
from apps.runs.models import Level, Run
from apps.runs.payloads.expiry import set_expiry
from apps.services.models import Service

logger = logging.getLogger(__name__)

# The pause before the first retry, which doubles with each, and the longest.
FIRST_RETRY = timedelta(seconds=60)
LONGEST_RETRY = timedelta(hours=1)

FAILURES = (Run.Status.FAILED, Run.Status.LOST)


@dataclass(frozen=True)
class Aftermath:
    """What follows the end of a run: a retry after a while, or none; the schedule turned off, or not."""

    retry_after: timedelta | None = None
    pauses: bool = False
    # For the log of the run.
    lines: tuple[tuple[Level, str], ...] = ()


def plan_aftermath(run: Run, status: Run.Status, *, may_retry: bool = True) -> Aftermath:
    """What is to follow when `run` ends so.

    A failed or lost run is run again where its service allows it: not a dry run, not one that was to be
    cancelled, and not one that would end the same way (`may_retry`). A service whose schedule is turned off by
    this very failure waits for a person instead.
    """
    if status not in FAILURES or run.is_dry_run:
        return Aftermath()
    service = Service.objects.get(pk=run.service_id)
    if _is_one_too_many(run, service):
        line = (
            f"The schedule is turned off: {service.pause_after_failures} runs in a row failed. "
            "Turn it on again once the cause is mended."
        )
        return Aftermath(pauses=True, lines=((Level.WARNING, line),))
    is_unwanted = not may_retry or Run.objects.filter(pk=run.pk).exclude(cancel_requested_at=None).exists()
    if is_unwanted or run.attempt > service.retry_limit or service.kind == Service.Kind.REPORTED:
        return Aftermath()
    pause = retry_pause(run.attempt)
    line = f"It is run again in {pause.total_seconds():.0f} s: retry {run.attempt} of {service.retry_limit}"
    return Aftermath(retry_after=pause, lines=((Level.INFO, line),))


def retry_pause(attempt: int) -> timedelta:
    """How long the retry of the run that was attempt number `attempt`, counted from 1, waits."""
    doublings = min(max(attempt - 1, 0), 16)
    return min(FIRST_RETRY * (1 << doublings), LONGEST_RETRY)


def end_run(run: Run, token: uuid.UUID, log: RunLog, status: Run.Status, *, may_retry: bool = True) -> None:
    """Seal the log and end the run; tries again while the database is away and the lease lasts.

    How it ended is first noted beside the spool, so that it is known even where the lease runs out meanwhile.
    Raises LeaseLost where the run was taken from us.
    """
    log.note_end(status, may_retry=may_retry)
    aftermath = None
    while True:
        try:
            if aftermath is None:
                aftermath = plan_aftermath(run, status, may_retry=may_retry)
                for level, line in aftermath.lines:
                    logger.log(level, "%s", line)
            seal = log.seal()
            with turn(), transaction.atomic():
                finish_run(run, token, status, aftermath, **(log.counters() | seal.columns()))
            log.remove_spool()
        except (DatabaseError, InterfaceError):
            connection.close()
            log.check_lease()
            time.sleep(1)
        else:
            return


def finish_run(
    run: Run, token: uuid.UUID, status: Run.Status, aftermath: Aftermath, **outcome: object
) -> None:
    """End the run with all that follows, in the caller's transaction. Raises LeaseLost where it is not ours.

    The end is one conditional UPDATE, so a run is ended once, and has one retry at the most.
    """
    if not run.finish(token, status, **outcome):
        raise LeaseLost
    set_expiry(run, settings.PAYLOAD_RETENTION)
    if aftermath.pauses:
        Service.objects.active().filter(pk=run.service_id).update(is_active=False, paused_at=Now())
    if aftermath.retry_after is not None:
        Run.objects.create(
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
            due_at=Now() + aftermath.retry_after,
        )


def _is_one_too_many(run: Run, service: Service) -> bool:
    """Whether the runs before this one failed, too, and so many that the schedule is to be turned off."""
    most = service.pause_after_failures
    if not most or not service.is_active:
        return False
    before = (
        Run.objects.filter(service=service, is_dry_run=False, pk__lt=run.pk)
        .filter(status__in=(Run.Status.SUCCEEDED, *FAILURES))
        .order_by("-pk")
        .values_list("status", flat=True)[: most - 1]
    )
    statuses = list(before)
    return len(statuses) == most - 1 and set(statuses) <= set(FAILURES)
