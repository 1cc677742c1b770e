"""View logs: the summary of one service, with its daily transactions and its runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.console.chart import daily_transactions, draw_chart
from apps.console.filters import DEFAULT_PERIOD, PERIODS
from apps.console.marks import flow_html, next_run_html
from apps.console.menus import MenuItem, row_menu
from apps.console.run_list import MOST_COUNTED, RunPage, RunQuestion, list_runs
from apps.console.wording import whole_text
from apps.runs.models import Run
from apps.services.models import Service


def summary_page(request: HttpRequest, site: AdminSite, service: Service) -> HttpResponse:
    """The chart, and the runs that started in the last 24 hours unless another period is asked for."""
    now = timezone.now()
    question = RunQuestion.from_query(request.GET.dict())
    page = list_runs(service, question, now)
    days = daily_transactions(service, now)
    context = {
        **site.each_context(request),
        "title": service.name,
        "service": service,
        "flow": flow_html(service),
        "next_run": next_run_html(service, now),
        "days": days[::-1],
        "totals": {
            "pulled": sum(day.pulled_count for day in days),
            "pushed": sum(day.pushed_count for day in days),
            "failed": sum(day.failed_count for day in days),
            "runs": sum(day.run_count for day in days),
        },
        "chart": draw_chart(days),
        "question": question,
        "page": page,
        "heading": _heading(question, page),
        "rows": [(run, shown_duration(run, now), _menu(request, run)) for run in page.runs],
        "periods": _periods(question),
        "statuses": _statuses(question),
        "older": _link(question, before=str(page.next_before)) if page.next_before else "",
        "may_start": request.user.has_perm("runs.start_run"),
        "may_change": request.user.has_perm("services.change_service"),
    }
    return TemplateResponse(request, "console/summary.html", context)


def shown_duration(run: Run, now: datetime) -> Any:
    """From start to finish, or up to now while the run goes on."""
    if run.is_open and run.started_at is not None:
        return now - run.started_at
    return run.duration


def run_menu(request: HttpRequest, run: Run) -> list[MenuItem]:
    """What the ⋮ menu of a run offers this user."""
    log = reverse("admin:runs_run_log", args=[run.pk])
    items = [MenuItem(_("More details"), log, "logs")]
    if request.user.has_perm("runs.start_run"):
        again = reverse("admin:services_service_run", args=[run.service_id])
        items.append(MenuItem(_("Run again"), f"{again}?retry_of={run.pk}", "again"))
    if run.is_open and request.user.has_perm("runs.cancel_run"):
        items.append(
            MenuItem(_("Cancel"), reverse("admin:runs_run_cancel", args=[run.pk]), "stop", does="post")
        )
    items.append(MenuItem(_("Copy link"), log, "link", does="copy"))
    return items


def _menu(request: HttpRequest, run: Run) -> str:
    return row_menu(f"run-{run.pk}", str(run), run_menu(request, run))


def _heading(question: RunQuestion, page: RunPage) -> str:
    count = f"{whole_text(MOST_COUNTED)}+" if page.is_capped else whole_text(page.count)
    words = {"count": count, "when": question.period.words, "search": question.search}
    if question.search:
        return _("%(count)s runs with the number %(search)s") % words
    if page.count == 1:
        return _("1 run started %(when)s") % words
    return _("%(count)s runs started %(when)s") % words


def _periods(question: RunQuestion) -> list[tuple[Any, str, bool]]:
    return [
        (period.label, _link(question, period=period.key), period == question.period and not question.search)
        for period in PERIODS
    ]


def _statuses(question: RunQuestion) -> list[tuple[Any, str, bool]]:
    choices = [("", _("All")), *Run.Status.choices]
    return [
        (label, _link(question, status=status), status == question.status and not question.search)
        for status, label in choices
    ]


def _link(question: RunQuestion, **change: str) -> str:
    """The address with these parameters changed; the defaults are left out, so that it stays clean."""
    query = {"period": question.period.key, "status": question.status} | change
    if query["period"] == DEFAULT_PERIOD.key:
        del query["period"]
    return "?" + urlencode({key: value for key, value in query.items() if value})
