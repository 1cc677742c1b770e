"""Events of the clock, evaluated every minute: what is late or missing, reminders and summaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from apps.alerts.incidents.changes import (
    STABLE_AFTER,
    Failure,
    end_instability,
    record_failure,
    record_recovery,
)
from apps.alerts.incidents.notices import notify, send_summaries
from apps.alerts.models import Incident, Notice, Rule
from apps.runs.models import Run
from apps.runs.monitoring.doctor import run_checks
from apps.services.models import Service

REMIND_EVERY = timedelta(days=1)
# The system check that is an event of its own.
_EXPIRY = "expiry"
# Closed incidents that are deleted at once.
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True)
class Evaluation:
    """Number of open incidents, of notices that were summed up, and of incidents that were deleted."""

    open: int = 0
    summed_up: int = 0
    deleted: int = 0


def evaluate_clock(now: datetime) -> Evaluation:
    """Evaluates everything that no event of a run triggers."""
    rules = _Rules(list(Rule.objects.active().prefetch_related("channels", "services")))
    for kind, failures in _states(rules, now):
        _apply(kind, list(failures), rules, now)
    _end_instability(rules, now)
    _remind(rules, now)
    return Evaluation(
        open=Incident.objects.open().count(), summed_up=send_summaries(now), deleted=_delete_old(now)
    )


class _Rules:
    """The active rules, by service."""

    def __init__(self, rules: list[Rule]) -> None:
        self.all = rules
        self._service_ids = {rule.pk: {service.pk for service in rule.services.all()} for rule in rules}

    def of(self, service_id: int | None) -> list[Rule]:
        """Rules of a service; of the system (None), all."""
        if service_id is None:
            return self.all
        return [rule for rule in self.all if self.covers(rule, service_id)]

    def covers(self, rule: Rule, service_id: int) -> bool:
        return rule.is_for_all or service_id in self._service_ids[rule.pk]

    def services_of(self, rule: Rule) -> QuerySet[Service]:
        if rule.is_for_all:
            return Service.objects.all()
        return Service.objects.filter(pk__in=self._service_ids[rule.pk])

    def watch(self, *events: Rule.Event) -> bool:
        return any(event in rule.events for rule in self.all for event in events)


def _states(rules: _Rules, now: datetime) -> Iterator[tuple[Incident.Kind, Iterable[Failure]]]:
    """All failures of each kind that hold now."""
    yield Incident.Kind.LATE, _late(now) if rules.watch(Rule.Event.LATE) else ()
    yield Incident.Kind.PAUSED, _paused() if rules.watch(Rule.Event.PAUSED) else ()
    yield Incident.Kind.NO_SUCCESS, _without_success(rules, now)
    checks = []
    if rules.watch(Rule.Event.DOCTOR, Rule.Event.EXPIRY_LAG):
        checks = [result for result in run_checks() if not result.is_ok]
    yield (
        Incident.Kind.DOCTOR,
        [
            Failure(Incident.Kind.DOCTOR, None, f"{check.label}: {check.detail}", subject=check.name)
            for check in checks
            if check.name != _EXPIRY
        ],
    )
    yield (
        Incident.Kind.EXPIRY_LAG,
        [Failure(Incident.Kind.EXPIRY_LAG, None, check.detail) for check in checks if check.name == _EXPIRY],
    )


def _late(now: datetime) -> Iterator[Failure]:
    for pk, next_run_at in Service.objects.late(now).order_by("pk").values_list("pk", "next_run_at"):
        yield Failure(Incident.Kind.LATE, pk, since=next_run_at)


def _paused() -> Iterator[Failure]:
    for pk, paused_at in Service.objects.paused().order_by("pk").values_list("pk", "paused_at"):
        yield Failure(Incident.Kind.PAUSED, pk, since=paused_at)


def _without_success(rules: _Rules, now: datetime) -> Iterator[Failure]:
    """Services without a success for longer than a rule allows, once for each such rule.

    A service that never succeeded counts from its creation. One whose schedule a person turned off is left out.
    """
    succeeded = Run.objects.filter(
        service=OuterRef("pk"), status=Run.Status.SUCCEEDED, is_dry_run=False
    ).order_by("-started_at")
    is_off = Q(is_active=False, paused_at=None) & ~Q(kind=Service.Kind.REPORTED)
    for rule in rules.all:
        if not rule.no_success_for_hours:
            continue
        cutoff = now - timedelta(hours=rule.no_success_for_hours)
        services = rules.services_of(rule).annotate(
            succeeded_at=Coalesce(Subquery(succeeded.values("finished_at")[:1]), "created_at")
        )
        found = services.exclude(is_off).filter(succeeded_at__lt=cutoff).order_by("pk")
        for pk, succeeded_at in found.values_list("pk", "succeeded_at"):
            yield Failure(Incident.Kind.NO_SUCCESS, pk, since=succeeded_at, rule=rule)


def _apply(kind: Incident.Kind, failures: list[Failure], rules: _Rules, now: datetime) -> None:
    """Opens incidents of what is wrong now, and closes those of what is not any more."""
    open_incidents = {
        (incident.service_id, incident.subject): incident
        for incident in Incident.objects.open()
        .filter(kind=kind)
        .select_related("service")
        .prefetch_related("notices")
    }
    current = set()
    for failure in failures:
        key = (failure.service_id, failure.subject)
        current.add(key)
        if not _is_known(open_incidents.get(key), failure):
            concerned = [failure.rule] if failure.rule else rules.of(failure.service_id)
            with transaction.atomic():
                record_failure(failure, concerned, now, open_incidents.get(key))
    for key, incident in open_incidents.items():
        if key not in current and incident.is_failing:
            with transaction.atomic():
                record_recovery(incident, rules.of(incident.service_id), now)


def _is_known(incident: Incident | None, failure: Failure) -> bool:
    """Whether the incident is open, and the channels of the failure's rule were notified of it."""
    if incident is None or not incident.is_failing:
        return False
    channels = failure.rule.channels.all() if failure.rule else ()
    return {channel.pk for channel in channels} <= {notice.channel_id for notice in incident.notices.all()}


def _end_instability(rules: _Rules, now: datetime) -> None:
    unstable = Incident.objects.open().filter(is_unstable=True, changed_at__lte=now - STABLE_AFTER)
    for incident in unstable.select_related("service").order_by("pk"):
        with transaction.atomic():
            end_instability(incident, rules.of(incident.service_id), now)


def _remind(rules: _Rules, now: datetime) -> None:
    if not any(rule.daily_reminder for rule in rules.all):
        return
    cutoff = now - REMIND_EVERY
    due = Incident.objects.open().filter(
        Q(reminded_at__lte=cutoff) | Q(reminded_at=None, opened_at__lte=cutoff), is_unstable=False
    )
    for incident in due.select_related("service").order_by("pk"):
        with transaction.atomic():
            incident.set_reminded(now)
            notify(incident, Notice.Kind.REMINDER, rules.of(incident.service_id), now)


def _delete_old(now: datetime) -> int:
    """Deletes some of the incidents that were closed before the retention of logs."""
    old = Incident.objects.filter(closed_at__lt=now - settings.LOG_RETENTION).order_by("pk")
    numbers = list(old.values_list("pk", flat=True)[:_DELETED_AT_ONCE])
    Incident.objects.filter(pk__in=numbers).delete()
    return len(numbers)
