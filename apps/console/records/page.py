"""Records page: the sync report over all services, or the history of one key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.payloads.links import preview_url
from apps.console.records.export import HEADER, record_rows
from apps.console.records.query import OLDEST_FIRST, OUTCOMES, RECORD_PERIODS, RecordQuery
from apps.console.records.record_list import list_records
from apps.console.records.texts import history_text, outcome_badge, place_text
from apps.console.ui.csv_export import csv_response
from apps.console.ui.links import line_url, records_url
from apps.console.ui.remembered_period import remember, remembered
from apps.runs.models import Payload, Record

# Outcomes after which a resync sends a record.
_NOT_ACCEPTED = (*Record.UNRESOLVED, Record.Outcome.DROPPED)


@dataclass(frozen=True)
class RecordRow:
    """A record as the list and the history show it."""

    record: Record
    badge: SafeString
    place: str
    text: str
    key_url: str
    line_url: str
    # Links to payloads that can be read.
    payloads: list[tuple[str, str]]
    # The user may send it again.
    may_resync: bool

    @property
    def value(self) -> str:
        """Value of its checkbox."""
        return f"{self.record.run_id}:{self.record.key}"


def records_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The list; with an exact key, its history."""
    _check_permission(request)
    now = timezone.now()
    query = _query(request)
    may_download = request.user.has_perm("runs.download_payload")
    page = list_records(query.records(request.user, now), query, has_payloads=may_download)
    may_start = request.user.has_perm("runs.start_run")
    rows = [
        _row(record, page.payloads.get(record.pk, []), now, may_start=may_start) for record in page.records
    ]
    context = {
        **site.each_context(request),
        "title": _("Record %(key)s") % {"key": query.key.strip()} if query.is_exact else _("Records"),
        "query": query,
        "rows": rows,
        "has_resync": any(row.may_resync for row in rows),
        "older": query.link(before=str(page.next_before)) if page.next_before else "",
        "periods": _period_links(query),
        "outcomes": _outcome_links(query),
        "hidden": _hidden(query),
        "other_order": query.link(order="" if query.is_oldest_first else OLDEST_FIRST),
        "csv_url": reverse("admin:records_csv") + query.link(),
        "may_start": may_start,
    }
    response = TemplateResponse(request, "console/records/page.html", context)
    if not query.errors and query.is_list:
        remember(request, response, _MEMORY, query.period_key, {period.key for period in RECORD_PERIODS})
    return response


# Name under which the period that was chosen last is remembered.
_MEMORY = "records_period"


def records_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Download as CSV: the filtered list."""
    _check_permission(request)
    query = _query(request)
    return csv_response("records", HEADER, record_rows(query.records(request.user, timezone.now())))


def _period_links(query: RecordQuery) -> list[tuple[str | Promise, str, bool]]:
    """Label and link of each period, and whether it is chosen."""
    return [
        (
            period.label,
            query.link(period="" if period == query.default_period else period.key),
            period == query.period,
        )
        for period in RECORD_PERIODS
    ]


def _outcome_links(query: RecordQuery) -> list[tuple[str | Promise, str, bool]]:
    """The same of each outcome."""
    labels = {"": _("All")} | {slug: outcome.label for slug, outcome in OUTCOMES.items()}
    return [(label, query.link(outcome=slug), slug == query.outcome) for slug, label in labels.items()]


def _hidden(query: RecordQuery) -> list[tuple[str, str]]:
    """Parameters that the search form passes on. In the list the period is remembered, and the history of a key has
    another one.
    """
    parameters = {name: query.parameters()[name] for name in ("outcome", "period", "order")}
    if query.is_list:
        del parameters["period"]
    return [(name, value) for name, value in parameters.items() if value]


def _query(request: HttpRequest) -> RecordQuery:
    return RecordQuery.from_query(request.GET.dict(), request.user, remembered(request, _MEMORY))


def _check_permission(request: HttpRequest) -> None:
    if not request.user.has_perm("services.view_service"):
        raise PermissionDenied


def _row(record: Record, payloads: list[Payload], now: datetime, *, may_start: bool) -> RecordRow:
    run = record.run
    return RecordRow(
        record=record,
        badge=outcome_badge(record.outcome),
        place=place_text(record),
        text=history_text(record),
        key_url=records_url(key=record.key),
        line_url=line_url(run.pk, record.sequence),
        payloads=[
            (payload.name, preview_url(payload, record=record.key))
            for payload in payloads
            if payload.state == "stored" and (payload.expires_at is None or payload.expires_at > now)
        ],
        may_resync=may_start
        and record.outcome in _NOT_ACCEPTED
        and record.resolved_by is None
        and not run.is_open
        and not run.service.is_reported,
    )
