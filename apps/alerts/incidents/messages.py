"""Content of the messages about incidents: no payloads, no secrets, of records at most their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import absolute_url
from apps.alerts.incidents.error_text import without_data
from apps.alerts.models import Incident, Notice, Rule
from apps.runs.models import Record, Run

# Names in one message; the rest is counted.
MAX_NAMES = 10
MAX_INCIDENTS = 20

_HEADLINES = {
    Notice.Kind.REMINDER: _("Still open: {incident}"),
    Notice.Kind.UNSTABLE: _("Unstable: {incident}"),
    Notice.Kind.STABLE: _("Still open after many changes: {incident}"),
    Notice.Kind.CLOSED: _("Recovered: {incident}"),
}
_UNSTABLE = _(
    "It has failed and recovered several times within an hour. The next message follows once nothing has changed for "
    "an hour."
)


def incident_message(
    incident: Incident, kind: Notice.Kind, rule: Rule | None, run: Run | None = None
) -> Message:
    """Message about one incident; `run` is the run whose end is the reason."""
    run = run or _run_of(incident)
    zone = ZoneInfo(rule.timezone if rule else "UTC")
    return Message(
        kind=_event_name(incident, kind),
        service=incident.service.name if incident.service else "",
        headline=_headline(incident, kind),
        sentence=_sentence(incident, kind, rule),
        since=incident.since.astimezone(zone),
        details=_details(incident, kind, rule, run, zone),
        url=absolute_url(_path(incident, run)),
        reference=incident.reference,
    )


def summary_message(notices: Sequence[Notice]) -> Message:
    """Message about several incidents, by the latest notice of each."""
    shown = sorted(notices, key=lambda notice: (not notice.incident.is_open, notice.pk))[:MAX_INCIDENTS]
    details: list[tuple[Any, Any]] = [(_title(notice.incident), _state(notice.incident)) for notice in shown]
    if len(notices) > len(shown):
        details.append((_("Further incidents"), str(len(notices) - len(shown))))
    return Message(
        kind="summary",
        service="",
        headline=format_lazy(_("Alerts about {count} incidents"), count=len(notices)),
        sentence=_(
            "These alerts were held back: by quiet hours, by maintenance, or because there were too many at once."
        ),
        since=min(notice.created_at for notice in notices),
        details=details,
        url=absolute_url(reverse("admin:alerts_incident_changelist")),
        reference="summary",
    )


def _event_name(incident: Incident, kind: Notice.Kind) -> str:
    """Name of the event for programs."""
    names = {
        Notice.Kind.OPENED: str(incident.kind),
        Notice.Kind.CLOSED: "recovered",
        Notice.Kind.STABLE: str(incident.kind),
    }
    return names.get(kind, kind.value)


def _headline(incident: Incident, kind: Notice.Kind) -> Any:
    return format_lazy(_HEADLINES[kind], incident=incident.label) if kind in _HEADLINES else incident.label


def _sentence(incident: Incident, kind: Notice.Kind, rule: Rule | None) -> Any:
    if kind == Notice.Kind.UNSTABLE:
        return _UNSTABLE
    if kind == Notice.Kind.CLOSED:
        return ""
    if incident.service_id is None:
        # What a system check says.
        return incident.reason
    with_keys = rule is not None and rule.include_record_keys
    return incident.reason_with(without_data(incident.detail, with_record_keys=with_keys))


def _details(
    incident: Incident, kind: Notice.Kind, rule: Rule | None, run: Run | None, zone: ZoneInfo
) -> list[tuple[Any, Any]]:
    details: list[tuple[Any, Any]] = []
    if kind == Notice.Kind.CLOSED and incident.closed_at is not None:
        details.append((_("Until"), incident.closed_at.astimezone(zone)))
    if incident.further_run_count:
        details.append((_("Further runs"), str(incident.further_run_count)))
    if run is not None:
        details += [
            (_("Run"), str(run.pk)),
            (_("Pulled"), str(run.pulled_count)),
            (_("Pushed"), str(run.pushed_count)),
        ]
    if run is not None and run.refused_count:
        details.append((_("Refused"), str(run.refused_count)))
        if rule is not None and rule.include_record_keys:
            details.append((_("Refused records"), ", ".join(_refused_keys(run))))
    return details


def _refused_keys(run: Run) -> list[str]:
    refused = Record.objects.filter(run=run, outcome=Record.Outcome.REFUSED).order_by("sequence", "page")
    keys = list(refused.values_list("key", flat=True)[: MAX_NAMES + 1])
    return [*keys[:MAX_NAMES], "…"] if len(keys) > MAX_NAMES else keys


def _path(incident: Incident, run: Run | None) -> str:
    """Path of the page that explains the incident."""
    if run is not None:
        return reverse("admin:runs_run_log", args=[run.pk])
    if incident.url:
        return incident.url
    if incident.service_id is not None:
        return reverse("admin:services_service_runs", args=[incident.service_id])
    return reverse("admin:index")


def _run_of(incident: Incident) -> Run | None:
    return Run.objects.filter(pk=incident.run_id).first() if incident.run_id else None


def _title(incident: Incident) -> Any:
    return incident.service.name if incident.service else "Synclog"


def _state(incident: Incident) -> Any:
    if incident.is_open or incident.kind == Incident.Kind.PROBLEM:
        return incident.label
    return format_lazy(_("{incident}, recovered"), incident=incident.label)
