"""The audit log: who did what, when, and to which object. Nobody can change it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.audit.models import Action
from apps.audit.trail import KINDS, Entry, Page, read_all, read_page
from apps.console.audit.query import PERIODS_BY_KEY, AuditQuery
from apps.console.ui.csv_export import cell, csv_response
from apps.console.ui.filters import PERIODS
from apps.console.ui.remembered_period import remember, remembered

PAGE_SIZE = 50
PERMISSION = "audit.view_auditevent"
CSV_HEADER = (
    *("time (UTC)", "action", "user", "command", "token", "address"),
    *("kind", "object number", "object", "detail", "changes", "attempts"),
)
# Name under which the period that was chosen last is remembered.
_MEMORY = "audit_period"
# More changes of one entry are shown on a click.
_MAX_SHOWN_CHANGES = 6


@dataclass(frozen=True)
class AuditRow:
    """An entry as the list shows it."""

    entry: Entry
    kind: str | Promise
    user_link: str
    object_link: str
    # Token, command and address.
    origin: str
    detail: str
    # Field, old and new value.
    changes: list[tuple[str, str, str]]

    @property
    def is_long(self) -> bool:
        return len(self.changes) > _MAX_SHOWN_CHANGES


def audit_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The list, newest first."""
    _check_permission(request)
    query = AuditQuery.from_query(request.GET.dict(), remembered(request, _MEMORY))
    filters = query.filters(timezone.now())
    page = read_page(filters, request.user, query.before, limit=PAGE_SIZE) if filters else Page()
    context = {
        **site.each_context(request),
        "title": _("Audit log"),
        "query": query,
        "rows": [_row(entry, query) for entry in page.entries],
        "older": query.link(before=str(page.entries[-1].position)) if page.has_more else "",
        "actions": Action.choices,
        "kinds": [(kind.name, kind.label) for kind in KINDS.values()],
        "periods": [
            (
                period.label,
                query.link(period=period.key, **{"from": "", "to": ""}),
                period == query.period,
            )
            for period in PERIODS
        ],
        "csv_url": reverse("admin:audit_csv") + query.link(),
    }
    response = TemplateResponse(request, "console/audit/page.html", context)
    remember(request, response, _MEMORY, request.GET.get("period", ""), PERIODS_BY_KEY)
    return response


def audit_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Download as CSV: the filtered list."""
    _check_permission(request)
    filters = AuditQuery.from_query(request.GET.dict()).filters(timezone.now())
    return csv_response("audit", CSV_HEADER, _csv_rows(read_all(filters, request.user)) if filters else ())


def _check_permission(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _row(entry: Entry, query: AuditQuery) -> AuditRow:
    kind = KINDS.get(entry.kind)
    return AuditRow(
        entry=entry,
        kind=kind.label if kind else "",
        user_link=query.link(user=entry.username) if entry.username else "",
        object_link=query.link(kind=entry.kind, object=entry.object_id) if kind and entry.object_id else "",
        origin=" · ".join(part for part in (entry.command, entry.token, entry.address) if part),
        detail=_detail(entry),
        changes=[
            (change["field"], _value_text(change["old"]), _value_text(change["new"]))
            for change in entry.changes
        ],
    )


def _detail(entry: Entry) -> str:
    if entry.action == Action.FACTOR_CHANGED:
        return _(entry.detail)
    if entry.count == 1:
        return entry.detail
    return ngettext("%(count)d attempt", "%(count)d attempts", entry.count) % {"count": entry.count}


def _value_text(value: Any) -> str:
    """A value as in JSON, text without quotes; empty = none."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _csv_rows(entries: Iterator[Entry]) -> Iterator[list[Any]]:
    for entry in entries:
        changes = "; ".join(
            f"{change['field']}: {_value_text(change['old'])} → {_value_text(change['new'])}"
            for change in entry.changes
        )
        values = (
            *(entry.occurred_at.astimezone(UTC), entry.action.value, entry.username, entry.command),
            *(entry.token, entry.address, entry.kind, entry.object_id, entry.object_name, entry.detail),
            *(changes, entry.count),
        )
        yield [cell(value) for value in values]
