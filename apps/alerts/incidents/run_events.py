"""Events of runs: what the end of a run opens, adds to and closes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse

from apps.alerts.incidents.changes import Failure, record_failure, record_recovery
from apps.alerts.models import Incident, Rule
from apps.runs.clock import database_now
from apps.runs.models import Run

_KIND_OF_STATUS = {Run.Status.FAILED: Incident.Kind.FAILED, Run.Status.LOST: Incident.Kind.LOST}
_CLOSED_BY_SUCCESS = (
    Incident.Kind.FAILED,
    Incident.Kind.LOST,
    Incident.Kind.NO_SUCCESS,
    Incident.Kind.REFUSED,
)


def receive_run_end(*, run_id: int, **_signal: Any) -> None:
    """Evaluates the rules of the run's service, in the transaction that ends the run.

    Dry runs and cancelled runs say nothing about the state of a service.
    """
    run = Run.objects.select_related("service").get(pk=run_id)
    if run.is_dry_run or run.status == Run.Status.CANCELLED:
        return
    rules = list(Rule.objects.of_service(run.service_id))
    now = database_now()
    opened = Incident.objects.open().filter(service=run.service_id)
    known = {
        (incident.kind, incident.subject): incident
        for incident in opened.select_related("service").order_by("pk")
    }
    failures = {failure.kind: failure for failure in _failures(run, rules)}
    for kind, failure in failures.items():
        record_failure(failure, _exceeded_rules(rules, failure, run), now, known.get((kind, failure.subject)))
    for incident in known.values():
        if incident.kind not in failures and _closes(run, incident):
            record_recovery(incident, rules, now, run)


def _failures(run: Run, rules: list[Rule]) -> Iterator[Failure]:
    about: dict[str, Any] = {
        "service_id": run.service_id,
        "run": run,
        "url": reverse("admin:runs_run_log", args=[run.pk]),
    }
    if run.status in _KIND_OF_STATUS:
        yield Failure(_KIND_OF_STATUS[Run.Status(run.status)], detail=run.error, **about)
    limits = [rule.refused_limit for rule in rules if Rule.Event.REFUSED in rule.events]
    if limits and run.refused_count > min(limits):
        yield Failure(Incident.Kind.REFUSED, **about)
    if not run.is_complete:
        yield Failure(Incident.Kind.INCOMPLETE, detail=run.lost_reason, **about)


def _exceeded_rules(rules: list[Rule], failure: Failure, run: Run) -> list[Rule]:
    """Rules whose limit the run exceeds; for other events all."""
    if failure.kind != Incident.Kind.REFUSED:
        return rules
    return [rule for rule in rules if run.refused_count > rule.refused_limit]


def _closes(run: Run, incident: Incident) -> bool:
    """Whether a run without a failure of this kind closes the incident."""
    if incident.kind in _CLOSED_BY_SUCCESS:
        return run.status == Run.Status.SUCCEEDED
    return incident.kind == Incident.Kind.INCOMPLETE and run.is_complete
