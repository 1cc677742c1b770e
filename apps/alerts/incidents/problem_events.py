"""Events of problems: each is an incident of its own, which is closed at once."""

from __future__ import annotations

from apps.alerts.incidents.changes import rules_about
from apps.alerts.incidents.notices import notify
from apps.alerts.models import Incident, Notice, Rule
from apps.runs.clock import database_now
from apps.services.models import Service


def problem_event(service: Service, kind: str, title: str, url: str) -> None:
    """Alerts about a problem in the caller's transaction; `kind` is "new" or "reopened", `url` the path of its page.

    The title must not contain secrets.
    """
    rules = rules_about(Incident.Kind.PROBLEM, Rule.objects.of_service(service.pk))
    if not rules:
        return
    now = database_now()
    incident = Incident.objects.create(
        kind=Incident.Kind.PROBLEM,
        subject=kind,
        service=service,
        detail=title[:500],
        url=url[:500],
        since=now,
        opened_at=now,
        last_event_at=now,
        changed_at=now,
        closed_at=now,
        is_failing=False,
    )
    notify(incident, Notice.Kind.OPENED, rules, now, is_new=True)
