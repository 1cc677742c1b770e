"""Service summary (View logs): daily transactions and runs of one service."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.console.alerts.open_incidents import open_incidents
from apps.console.problems.rows import problem_panel
from apps.console.summary.chart import draw_chart
from apps.console.summary.daily_transactions import LENGTHS, MAX_AGGREGATED, DayRange, daily_transactions
from apps.console.summary.export import RUN_HEADER, run_rows
from apps.console.summary.run_list import OLDEST_FIRST, PAGE_SIZE, RunPage, RunQuery, list_runs
from apps.console.ui.badges import flow_html, next_run_html
from apps.console.ui.csv_export import csv_response
from apps.console.ui.filters import PERIOD_KEYS, PERIODS
from apps.console.ui.formatting import number_text
from apps.console.ui.menus import MenuItem, RowMenus
from apps.console.ui.paging import MAX_COUNT
from apps.console.ui.remembered_period import remember, remembered
from apps.console.ui.tab import TabState
from apps.runs.models import Run
from apps.services.models import Service

# Interval of the refresh of running runs, in seconds.
POLL_AFTER = 5
# Open incidents that are shown; the list has all.
MAX_INCIDENTS = 5
# Parameters of which the last choice is remembered, and its values; a custom range is not remembered.
_REMEMBERED = {"period": PERIOD_KEYS, "days": tuple(map(str, LENGTHS))}


def summary_page(request: HttpRequest, site: AdminSite, service: Service) -> HttpResponse:
    """The chart, and the runs that started in the last 24 hours or in another period."""
    now = timezone.now()
    query = RunQuery.from_query(_parameters(request))
    page = list_runs(service, query, now)
    links = SummaryLinks(query, DayRange.from_query(_parameters(request), now))
    tab = TabState.of_runs(page.runs)
    context = {
        **site.each_context(request),
        "title": service.name,
        "tab": tab if tab and tab.is_notable else None,
        "service": service,
        "incidents": open_incidents(request.user).filter(service=service)[:MAX_INCIDENTS],
        "flow": flow_html(service),
        "next_run": next_run_html(service, now),
        **_chart(service, links.range),
        "problem_panel": problem_panel(request.user, now, service),
        "query": query,
        "errors": (*links.range.errors, *query.errors),
        "page": page,
        "max_counted": MAX_COUNT,
        "heading": _heading(query, page),
        "rows": _rows(request, page.runs, now),
        "links": links,
        "filters": links.filters(),
        "csv_url": reverse("admin:services_service_runs_csv", args=[service.pk]) + links.to(q=query.search),
        "older": links.to(before=str(page.next_before)) if page.next_before else "",
        "poll_after": POLL_AFTER,
        "may_start": request.user.has_perm("runs.start_run") and not service.is_reported,
        "may_change": request.user.has_perm("services.change_service"),
    }
    response = TemplateResponse(request, "console/summary.html", context)
    for name, allowed in _REMEMBERED.items():
        remember(request, response, f"summary_{name}", request.GET.get(name, ""), allowed)
    return response


def summary_feed(request: HttpRequest, service: Service) -> HttpResponse:
    """Current rows of the runs in `?run=`; `poll_after` is null once none of them is open."""
    numbers = {
        int(number) for number in request.GET.getlist("run") if number.isdecimal() and len(number) <= 18
    }
    runs = list(service.runs.filter(pk__in=sorted(numbers)[:PAGE_SIZE]).select_related("started_by"))
    now = timezone.now()
    rows = {
        row["run"].pk: render_to_string("console/run_row.html", {"row": row}, request)
        for row in _rows(request, runs, now)
    }
    goes_on = any(run.is_open for run in runs)
    tab = TabState.of_runs(runs)
    return JsonResponse(
        {
            "rows": rows,
            "poll_after": POLL_AFTER if goes_on else None,
            "tab": tab.as_json() if tab else None,
        }
    )


def summary_csv(request: HttpRequest, service: Service) -> StreamingHttpResponse:
    """All runs of the list."""
    rows = run_rows(service, RunQuery.from_query(_parameters(request)), timezone.now())
    return csv_response(f"runs-{service.slug}", RUN_HEADER, rows)


def duration_so_far(run: Run, now: datetime) -> Any:
    """Duration of a run, up to now while it is open."""
    if run.is_open and run.started_at is not None:
        return now - run.started_at
    return run.duration


def run_menu(request: HttpRequest, menus: RowMenus, run: Run) -> SafeString:
    """The ⋮ menu of a run."""

    def items(number: int) -> list[MenuItem]:
        return run_menu_items(request, Run(pk=number, service=run.service, status=run.status))

    return menus.html(run.pk, str(run), (run.service_id, run.is_open), items)


def run_menu_items(request: HttpRequest, run: Run) -> list[MenuItem]:
    """Items of the ⋮ menu of a run that the user may use."""
    log = reverse("admin:runs_run_log", args=[run.pk])
    items = [MenuItem(_("More details"), log, "logs")]
    if request.user.has_perm("runs.start_run") and not run.service.is_reported:
        again = reverse("admin:services_service_run", args=[run.service_id])
        items.append(MenuItem(_("Run again"), f"{again}?retry_of={run.pk}", "again"))
    if run.is_open and request.user.has_perm("runs.cancel_run"):
        items.append(
            MenuItem(_("Cancel"), reverse("admin:runs_run_cancel", args=[run.pk]), "stop", does="post")
        )
    items.append(MenuItem(_("Copy link"), log, "link", does="copy"))
    return items


class SummaryLinks:
    """URLs of the same page with one parameter changed.

    They contain the period and the days, also the default ones: another one may be remembered.
    """

    def __init__(self, query: RunQuery, days: DayRange) -> None:
        self.query = query
        self.range = days

    def to(self, **change: str) -> str:
        query = self.parameters() | change
        return "?" + urlencode({key: value for key, value in query.items() if value})

    def parameters(self) -> dict[str, str]:
        """Parameters of the current URL without search and page."""
        period, days = self.query.period, self.range
        is_custom = period.key == "custom"
        return {
            "period": period.key,
            "from": _field_text(period.since) if is_custom else "",
            "to": _field_text(period.until) if is_custom else "",
            "status": self.query.status,
            "trigger": self.query.trigger,
            "order": OLDEST_FIRST if self.query.is_oldest_first else "",
            "warned": "1" if self.query.warned else "",
            "days": "custom" if days.length is None else str(days.length),
            "first": days.first.isoformat() if days.length is None else "",
            "last": days.last.isoformat() if days.length is None else "",
        }

    def period_parameters(self) -> list[tuple[str, str]]:
        """Parameters that the form of the custom period passes on."""
        return self._tail_lines("period", "from", "to")

    def range_parameters(self) -> list[tuple[str, str]]:
        """Parameters that the form of the custom range passes on."""
        return self._tail_lines("days", "first", "last")

    def _tail_lines(self, *own: str) -> list[tuple[str, str]]:
        return [(key, value) for key, value in self.parameters().items() if value and key not in own]

    def ranges(self) -> list[tuple[str, str, bool]]:
        return [
            (
                ngettext("%(count)s day", "%(count)s days", length) % {"count": length},
                self.to(days=str(length), first="", last=""),
                self.range.length == length,
            )
            for length in LENGTHS
        ]

    def periods(self) -> list[tuple[Any, str, bool]]:
        shown, sought = self.query.period, self.query.search
        return [
            (
                period.label,
                self.to(**{"period": period.key, "from": "", "to": ""}),
                period == shown and not sought,
            )
            for period in PERIODS
        ]

    @property
    def other_order(self) -> str:
        """The list in the opposite order."""
        return self.to(order="" if self.query.is_oldest_first else OLDEST_FIRST)

    def filters(self) -> list[tuple[str, str, list[tuple[Any, str, bool]]]]:
        """Caption, name and choices of each filter except the period."""
        warned = [("", _("All")), ("1", _("With warnings"))]
        query = self.query
        return [
            self._filter(_("Status"), "status", query.status, [("", _("All")), *Run.Status.choices]),
            self._filter(_("Trigger"), "trigger", query.trigger, [("", _("All")), *Run.Trigger.choices]),
            self._filter(_("Warnings"), "warned", "1" if query.warned else "", warned),
        ]

    def _filter(
        self, caption: str, name: str, chosen: str, choices: list[tuple[str, Any]]
    ) -> tuple[str, str, list[tuple[Any, str, bool]]]:
        is_searching = bool(self.query.search)
        return (
            caption,
            name,
            [(label, self.to(**{name: key}), key == chosen and not is_searching) for key, label in choices],
        )

    @property
    def since_text(self) -> str:
        return _field_text(self.query.period.since)

    @property
    def until_text(self) -> str:
        return _field_text(self.query.period.until)


def _parameters(request: HttpRequest) -> dict[str, str]:
    """The query string, completed by what was chosen last."""
    last = {name: remembered(request, f"summary_{name}") for name in _REMEMBERED}
    last = {name: value for name, value in last.items() if value in _REMEMBERED[name]}
    return last | {name: value for name, value in request.GET.dict().items() if value}


def _chart(service: Service, day_range: DayRange) -> dict[str, Any]:
    found = daily_transactions(service, day_range)
    days = found.days
    return {
        "days": days[::-1],
        "chart_is_whole": found.is_whole,
        "max_aggregated": MAX_AGGREGATED,
        "totals": {
            "pulled": sum(day.pulled_count for day in days),
            "pushed": sum(day.pushed_count for day in days),
            "failed": sum(day.failed_count for day in days),
            "runs": sum(day.run_count for day in days),
        },
        "chart": draw_chart(days),
    }


def _rows(request: HttpRequest, runs: list[Run], now: datetime) -> list[dict[str, Any]]:
    menus = RowMenus("run")
    return [
        {"run": run, "duration": duration_so_far(run, now), "menu": run_menu(request, menus, run)}
        for run in runs
    ]


def _heading(query: RunQuery, page: RunPage) -> str:
    count = f"{number_text(MAX_COUNT)}+" if page.is_capped else number_text(page.count)
    text = {"count": count, "when": query.period.text, "search": query.search}
    if query.search:
        return (
            ngettext(
                "%(count)s run with the number %(search)s",
                "%(count)s runs with the number %(search)s",
                page.count,
            )
            % text
        )
    return ngettext("%(count)s run started %(when)s", "%(count)s runs started %(when)s", page.count) % text


def _field_text(moment: datetime | None) -> str:
    """Value for a datetime-local field."""
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M") if moment else ""
