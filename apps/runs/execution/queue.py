"""Queue of runs: starts by a person, a token or the schedule."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit.models import Action
from apps.audit.recording import record_event
from apps.runs.execution.incremental import checked_since
from apps.runs.execution.replay import check_replay
from apps.runs.models import Payload, Run
from apps.runs.models.run_queryset import RunQuerySet
from apps.services.definition.option_errors import choice_message
from apps.services.definition.options import read_run_options
from apps.services.models import Service
from apps.services.schedule import latest_scheduled_time

logger = logging.getLogger(__name__)


def queue_run(
    service: Service,
    *,
    trigger: Run.Trigger,
    user: Any = None,
    store: Collection[str] = (),
    is_dry_run: bool = False,
    options: Mapping[str, object] | None = None,
    idempotency_key: str | None = None,
    retry_of: Run | None = None,
    replay_of: Run | None = None,
) -> Run:
    """Creates a queued run, or returns the run that this user started for the service with the same idempotency
    key.

    With `replay_of` the pages are the stored pull payloads of that run. Raises ValidationError with the invalid
    fields: `store`, `options`, `replay_of`.
    """
    if service.is_reported:
        raise ValidationError({"service": _("The service runs elsewhere; start it there.")})
    _check_kinds(store)
    if replay_of is not None:
        check_replay(service, replay_of)
    run = Run(
        service=service,
        script=service.current_script(),
        trigger=trigger,
        started_by=user,
        store_pull=Payload.Kind.PULL in store,
        store_push=Payload.Kind.PUSH in store,
        store_script=Payload.Kind.SCRIPT in store,
        is_dry_run=is_dry_run,
        options=checked_options(service, options or {}),
        idempotency_key=idempotency_key or None,
        retry_of=retry_of,
        replay_of=replay_of,
    )
    return _insert_once(run)


def _insert_once(run: Run) -> Run:
    """Inserts the run, or returns the earlier one with its idempotency key."""
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            _record_start(run)
    except IntegrityError:
        key = run.idempotency_key
        if key is None:
            raise
        return Run.objects.get(service=run.service, started_by=run.started_by, idempotency_key=key)
    run.refresh_from_db()
    return run


def _record_start(run: Run) -> None:
    original = run.replay_of_id or run.retry_of_id
    record_event(
        Action.RESYNCED if original else Action.STARTED,
        user=run.started_by,
        # Without a user, a person started it on the command line.
        command="" if run.started_by else "sync",
        subject=run,
        name=Run.audit_name(run.pk, run.service),
        detail=f"#{original}" if original else "",
        changes=[{"field": "is_dry_run", "old": False, "new": True}] if run.is_dry_run else [],
    )


def checked_options(service: Service, data: object) -> dict[str, Any]:
    """The options of a run of `service` that are set. Raises ValidationError by key."""
    options = read_run_options(data)
    if "since" in options:
        options["since"] = checked_since(service, options["since"])
    return options


def _check_kinds(store: Collection[str]) -> None:
    """Raises ValidationError unless `store` contains only kinds of payload."""
    unknown = sorted(set(store) - set(Payload.Kind.values))
    if unknown:
        raise ValidationError({"store": choice_message(", ".join(unknown), Payload.Kind.values)})


@dataclass
class QueuedRuns:
    """Result of one call of the scheduler: queued runs, and the number of runs that were skipped."""

    queued: list[Run] = field(default_factory=list)
    skipped_count: int = 0


def queue_due_runs(now: datetime) -> QueuedRuns:
    """Queues a run for each active service whose scheduled time has passed; of several missed times, the latest.

    A scheduled time is skipped if a run of the service is open and its `overlap` says so. Several schedulers are
    harmless: one of them moves the service to its next scheduled time, and the database allows one run for each.
    """
    result = QueuedRuns()
    for service in Service.objects.due(now).filter(kind=Service.Kind.INTEGRATION):
        try:
            _queue_due_run(service, now, result)
        # An error of one service must not delay the others.
        except Exception:
            logger.exception("Schedule: the run of service %s could not be queued", service.slug)
    if result.queued or result.skipped_count:
        logger.info("Schedule: %d runs queued, %d skipped", len(result.queued), result.skipped_count)
    return result


def _queue_due_run(service: Service, now: datetime, result: QueuedRuns) -> None:
    due_at = service.next_run_at
    scheduled_for = latest_scheduled_time(service.schedule, service.timezone, now=now) or due_at
    service.plan_next_run(now)
    with transaction.atomic():
        is_ours = Service.objects.active().filter(pk=service.pk, next_run_at=due_at)
        if not is_ours.update(next_run_at=service.next_run_at):
            return
        if service.overlap == Service.Overlap.SKIP and _has_open_run(service, scheduled_for):
            logger.warning(
                "Schedule: %s skips its scheduled time %s, because a run is queued or running",
                service.slug,
                scheduled_for,
            )
            result.skipped_count += 1
            return
        run, is_new = Run.objects.get_or_create(
            service=service,
            scheduled_for=scheduled_for,
            defaults={"trigger": Run.Trigger.SCHEDULE, "script": service.current_script()},
        )
    if is_new:
        result.queued.append(run)


def _has_open_run(service: Service, scheduled_for: datetime | None) -> bool:
    return Run.objects.open().filter(service=service).exclude(scheduled_for=scheduled_for).exists()


def release_waiting_runs() -> list[int]:
    """Marks runs that need no longer wait as sent and returns their ids: retries that are due, and scheduled runs
    whose service has no other open run.
    """
    return _mark_sent(Run.objects.newly_claimable())


def resend_unclaimed_runs() -> list[int]:
    """Marks queued runs that no worker claimed within a minute as sent again and returns their ids: their message
    may be lost.
    """
    return _mark_sent(Run.objects.unclaimed())


def _mark_sent(runs: RunQuerySet) -> list[int]:
    run_ids = list(runs.order_by("pk").values_list("pk", flat=True)[:1000])
    Run.objects.filter(pk__in=run_ids).update(sent_at=Now())
    return run_ids
