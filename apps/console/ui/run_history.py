"""Run history of a service: one bar for each of its last runs, the newest on the right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db import connection
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.runs.models import Run

MAX_BARS = 20

# Both use the index run_service_latest, at most 20 entries a service. PostgreSQL needs LATERAL for this plan; SQLite
# has no LATERAL and finds the plan by itself.
_LATERAL = """
SELECT r.service_id, r.id, r.status, r.warning_count > 0, COALESCE(r.started_at, r.queued_at)
FROM unnest(%s::bigint[]) AS s(id)
CROSS JOIN LATERAL (SELECT * FROM runs_run WHERE service_id = s.id ORDER BY id DESC LIMIT %s) AS r
ORDER BY r.id
"""
_CORRELATED = """
SELECT r.service_id, r.id, r.status, r.warning_count > 0, COALESCE(r.started_at, r.queued_at)
FROM services_service AS s JOIN runs_run AS r ON r.service_id = s.id AND r.id >= COALESCE(
    (SELECT id FROM runs_run WHERE service_id = s.id ORDER BY id DESC LIMIT 1 OFFSET %s), 0)
WHERE s.id IN (SELECT value FROM json_each(%s))
ORDER BY r.id
"""


@dataclass(frozen=True, slots=True)
class RecentRun:
    """The data of a bar; `at` is the start of the run, or the time it was queued."""

    number: int
    status: str
    has_warnings: bool
    at: datetime


def recent_runs(service_ids: Collection[int]) -> dict[int, list[RecentRun]]:
    """The last runs of each of these services, oldest first; one query."""
    ids = list(service_ids)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_LATERAL, [ids, MAX_BARS])
        else:
            cursor.execute(_CORRELATED, [MAX_BARS - 1, str(ids)])
        rows = cursor.fetchall()
    found: dict[int, list[RecentRun]] = {service_id: [] for service_id in ids}
    for service_id, number, status, has_warnings, at in rows:
        found[service_id].append(RecentRun(number, status, bool(has_warnings), _as_moment(at)))
    return found


def run_history_html(runs: Sequence[RecentRun]) -> SafeString:
    """The bars, each with a tooltip, and one sentence for screen readers."""
    if not runs:
        return SafeString("")
    zone = timezone.get_current_timezone()
    # A page has up to 2,000 bars, but few states and days.
    days, states = dict[date, str](), dict[tuple[str, bool], tuple[str, str]]()
    bars = []
    for run in runs:
        local = run.at.astimezone(zone)
        if (day := days.get(local.date())) is None:
            day = days[local.date()] = escape(date_format(local, "j M"))
        if (state := states.get((run.status, run.has_warnings))) is None:
            state = states[run.status, run.has_warnings] = _state(run)
        kind, label = state
        # Statuses, numbers and times need no escaping.
        bars.append(
            f'<i class="run-bar run-bar-{kind}" title="{run.number} · {label} · {day} '
            f'{local.hour:02}:{local.minute:02}"></i>'
        )
    return SafeString(
        f'<span class="run-history" role="img" aria-label="{escape(run_history_text(runs))}">{"".join(bars)}</span>'
    )


def run_history_text(runs: Sequence[RecentRun]) -> str:
    """ "Last 20 runs: 18 succeeded, 2 failed"."""
    counts = Counter(run.status for run in runs)
    parts = [f"{counts[status]} {str(status.label).lower()}" for status in Run.Status if counts[status.value]]
    last = ngettext("Last run: %(states)s", "Last %(count)s runs: %(states)s", len(runs))
    return last % {"count": len(runs), "states": ", ".join(parts)}


def _state(run: RecentRun) -> tuple[str, str]:
    """Style class and escaped text of a bar."""
    label = str(Run.Status(run.status).label)
    if not run.has_warnings:
        return run.status, escape(label)
    kind = "warnings" if run.status == Run.Status.SUCCEEDED else run.status
    return kind, escape(_("%(state)s, with warnings") % {"state": label})


def _as_moment(value: datetime | str) -> datetime:
    """SQLite returns text if the column is not a model field."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)
