"""Run history of a service: one bar for each of its last runs, the newest on the right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

from django.db import connection
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from apps.console.ui.formatting import day_text
from apps.runs.models import Run

MAX_BARS = 20

# Both use the index run_service_latest, at most 20 entries a service. PostgreSQL needs LATERAL for this plan; SQLite
# has no LATERAL and finds the plan by itself.
_LATERAL = """
SELECT r.service_id, r.id, r.status, r.warning_count, COALESCE(r.started_at, r.queued_at)
FROM unnest(%s::bigint[]) AS s(id)
CROSS JOIN LATERAL (SELECT * FROM runs_run WHERE service_id = s.id ORDER BY id DESC LIMIT %s) AS r
ORDER BY r.id
"""
_CORRELATED = """
SELECT r.service_id, r.id, r.status, r.warning_count, COALESCE(r.started_at, r.queued_at)
FROM services_service AS s JOIN runs_run AS r ON r.service_id = s.id AND r.id >= COALESCE(
    (SELECT id FROM runs_run WHERE service_id = s.id ORDER BY id DESC LIMIT 1 OFFSET %s), 0)
WHERE s.id IN (SELECT value FROM json_each(%s))
ORDER BY r.id
"""


class RecentRun(NamedTuple):
    """The data of a bar; `at` is the start of the run, or the time it was queued."""

    number: int
    status: str
    warning_count: int
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
    for service_id, number, status, warning_count, at in rows:
        found[service_id].append(RecentRun(number, status, warning_count, _as_moment(at)))
    return found


def run_history_html(runs: Sequence[RecentRun]) -> SafeString:
    """The bars, each with a tooltip, and one sentence for screen readers."""
    if not runs:
        return SafeString("")
    zone, language = timezone.get_current_timezone(), get_language()
    days = dict[date, str]()
    bars = []
    for run in runs:
        local = run.at.astimezone(zone)
        if (day := days.get(local.date())) is None:
            day = days[local.date()] = escape(day_text(local.date()))
        kind, label = _state(run.status, run.warning_count > 0, language)
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
    return _counts_text(tuple(counts[status] for status in Run.Status.values), get_language())


@lru_cache(maxsize=1024)
def _counts_text(counts: tuple[int, ...], _language: str) -> str:
    """The same for the number of runs in each status of Run.Status."""
    parts = [
        f"{count} {str(status.label).lower()}"
        for status, count in zip(Run.Status, counts, strict=True)
        if count
    ]
    last = ngettext("Last run: %(states)s", "Last %(count)s runs: %(states)s", sum(counts))
    return last % {"count": sum(counts), "states": ", ".join(parts)}


@lru_cache
def _state(status: str, has_warnings: bool, _language: str) -> tuple[str, str]:
    """Style class and escaped text of a bar."""
    label = str(Run.Status(status).label)
    if not has_warnings:
        return status, escape(label)
    kind = "warnings" if status == Run.Status.SUCCEEDED else status
    return kind, escape(_("%(state)s, with warnings") % {"state": label})


def _as_moment(value: datetime | str) -> datetime:
    """SQLite returns text if the column is not a model field."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)
