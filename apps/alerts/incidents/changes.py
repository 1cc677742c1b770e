"""Changes of incidents: a failure opens one, a recovery closes it, and many changes make it unstable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from apps.alerts.incidents.notices import notify
from apps.alerts.models import Incident, Notice, Rule
from apps.runs.models import Run

# More changes than these within this time make an incident unstable, until it has been stable for the same time.
MAX_CHANGES = 3
STABLE_AFTER = timedelta(hours=1)

# Incidents whose end is reported also by rules that name only "recovered".
RUN_FAILURES = (Incident.Kind.FAILED, Incident.Kind.LOST)


@dataclass(frozen=True)
class Failure:
    """What is wrong, with a service or (None) with the system."""

    kind: Incident.Kind
    service_id: int | None
    # The error in one sentence.
    detail: str = ""
    # Since when; None = since now.
    since: datetime | None = None
    # Path of the page that shows it.
    url: str = ""
    run: Run | None = None
    # Which of several things of this kind is wrong, such as the name of a system check; empty = there is only one.
    subject: str = ""
    # The rule whose limit is exceeded, None = all rules about this kind.
    rule: Rule | None = None


def rules_about(kind: str, rules: Iterable[Rule]) -> list[Rule]:
    """The rules that send any message about incidents of this kind."""
    if kind == Incident.Kind.NO_SUCCESS:
        return [rule for rule in rules if rule.no_success_for_hours]
    events = {kind, Rule.Event.RECOVERED} if kind in RUN_FAILURES else {kind}
    return [rule for rule in rules if not events.isdisjoint(rule.events)]


def record_failure(
    failure: Failure, rules: Sequence[Rule], now: datetime, known: Incident | None = None
) -> Incident | None:
    """Opens an incident, or adds the failure to the open one; None if none of the rules is about it.

    `known` is the open incident if the caller has read it.
    """
    rules = rules_about(failure.kind, rules)
    if not rules:
        return None
    is_run, is_new = failure.run is not None, False
    if known is not None and known.add_event(now, is_run=is_run):
        incident = known
    else:
        # Another run may have closed the known one in the meantime.
        incident, is_new = _open_incident(failure, now)
        if not is_new:
            incident.add_event(now, is_run=is_run)
    if is_new and _change_count(incident, now) > MAX_CHANGES:
        incident.set_unstable(now, is_failing=True)
        notify(incident, Notice.Kind.UNSTABLE, rules, now, run=failure.run)
    elif not incident.is_unstable:
        # Those who know of it already are not notified again.
        notify(incident, Notice.Kind.OPENED, rules, now, run=failure.run, is_new=is_new)
    return incident


def _open_incident(failure: Failure, now: datetime) -> tuple[Incident, bool]:
    """The open incident of this failure, and whether it is new."""
    key = {"service_id": failure.service_id, "kind": failure.kind, "subject": failure.subject[:200]}
    values = {
        "run": failure.run,
        "detail": failure.detail,
        "url": failure.url,
        "since": failure.since or now,
        **dict.fromkeys(("opened_at", "last_event_at", "changed_at"), now),
    }
    try:
        with transaction.atomic():
            incident = Incident.objects.create(**key, **values)
    except IntegrityError:
        # Another run was faster.
        return Incident.objects.open().get_or_create(**key, defaults={"closed_at": None, **values})
    if failure.run is not None:
        incident.service = failure.run.service
    return incident, True


def record_recovery(incident: Incident, rules: Sequence[Rule], now: datetime, run: Run | None = None) -> None:
    """Closes an open incident; an unstable one only once it has been stable."""
    rules = rules_about(incident.kind, rules)
    if incident.is_unstable:
        if incident.is_failing:
            incident.set_recovered(now)
    elif _change_count(incident, now) + 1 > MAX_CHANGES:
        incident.set_unstable(now, is_failing=False)
        notify(incident, Notice.Kind.UNSTABLE, rules, now, run=run)
    elif incident.close(now):
        notify(incident, Notice.Kind.CLOSED, rules, now, run=run)


def end_instability(incident: Incident, rules: Sequence[Rule], now: datetime) -> None:
    """Ends the unstable state of an incident that has not changed for an hour."""
    rules = rules_about(incident.kind, rules)
    if incident.is_failing:
        incident.set_stable()
        notify(incident, Notice.Kind.STABLE, rules, now)
    elif incident.close(now):
        notify(incident, Notice.Kind.CLOSED, rules, now)


def _change_count(incident: Incident, now: datetime) -> int:
    """How often incidents like this one were opened or closed within an hour."""
    like = Incident.objects.filter(service=incident.service_id, kind=incident.kind, subject=incident.subject)
    return like.change_count(now - STABLE_AFTER)
