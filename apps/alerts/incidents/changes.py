"""Changes of incidents: a failure opens one, a recovery closes it, and many changes make it unstable."""

from __future__ import annotations

from collections.abc import Sequence
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
    subject: str = ""
    # The rule whose limit is exceeded, None = all that watch this kind.
    rule: Rule | None = None


def watches(rule: Rule, kind: str) -> bool:
    """Whether incidents of this kind matter to the rule."""
    if kind == Incident.Kind.NO_SUCCESS:
        return bool(rule.no_success_for_hours)
    return kind in rule.events or (kind in RUN_FAILURES and Rule.Event.RECOVERED in rule.events)


def record_failure(
    failure: Failure, rules: Sequence[Rule], now: datetime, known: Incident | None = None
) -> Incident | None:
    """Opens an incident, or adds the failure to the open one; None if it matters to none of the rules.

    `known` is the open incident if the caller has read it.
    """
    watching = [rule for rule in rules if watches(rule, failure.kind)]
    if not watching:
        return None
    is_run, is_new = failure.run is not None, False
    if known is not None and known.add_event(now, is_run=is_run):
        incident = known
    else:
        # Another run may have closed the known one in the meantime.
        incident, is_new = _open_incident(failure, now)
        if not is_new:
            incident.add_event(now, is_run=is_run)
    if is_new and _changes(incident, now) > MAX_CHANGES:
        incident.set_unstable(now, is_failing=True)
        notify(incident, Notice.Kind.UNSTABLE, watching, now, run=failure.run)
    elif not incident.is_unstable:
        # Those who know of it already are not notified again.
        notify(incident, Notice.Kind.OPENED, watching, now, run=failure.run, is_new=is_new)
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
    watching = [rule for rule in rules if watches(rule, incident.kind)]
    if incident.is_unstable:
        if incident.is_failing:
            incident.set_recovered(now)
    elif _changes(incident, now) + 1 > MAX_CHANGES:
        incident.set_unstable(now, is_failing=False)
        notify(incident, Notice.Kind.UNSTABLE, watching, now, run=run)
    elif incident.close(now):
        notify(incident, Notice.Kind.CLOSED, watching, now, run=run)


def settle(incident: Incident, rules: Sequence[Rule], now: datetime) -> None:
    """Ends the unstable state of an incident that has not changed for an hour."""
    watching = [rule for rule in rules if watches(rule, incident.kind)]
    if incident.is_failing:
        incident.set_stable()
        notify(incident, Notice.Kind.STABLE, watching, now)
    elif incident.close(now):
        notify(incident, Notice.Kind.CLOSED, watching, now)


def _changes(incident: Incident, now: datetime) -> int:
    """How often incidents like this one were opened or closed within an hour."""
    like = Incident.objects.filter(service=incident.service_id, kind=incident.kind, subject=incident.subject)
    return like.change_count(now - STABLE_AFTER)
