"""List of problems, and the page of one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.alerts.models import Problem
from apps.alerts.problems.changes import possible_assignees
from apps.alerts.problems.frequency import frequencies
from apps.console.problems.badges import problem_badge
from apps.console.problems.changes import MUTE_DAYS
from apps.console.problems.query import ME, NOBODY, ProblemQuery
from apps.console.problems.rows import LIST_DAYS, problem_rows
from apps.console.problems.sparkline import frequency_text, sparkline
from apps.console.ui.csv_export import csv_response, read_rows
from apps.console.ui.filters import PERIODS
from apps.console.ui.links import line_url, records_url
from apps.console.ui.paging import CappedPaginator
from apps.runs.log.fingerprint import fingerprint
from apps.runs.models import Level, LogEntry, Record, Run, RunProblem, Step

PAGE_SIZE = 50
_CSV_COLUMNS: tuple[tuple[Any, ...], ...] = (
    ("problem", "title"),
    ("service", "service__slug"),
    ("level", "level", lambda level: Level(level).name.lower()),
    ("state", "state"),
    ("assignee", "assignee__username"),
    ("first seen at (UTC)", "first_seen_at"),
    ("last seen at (UTC)", "last_seen_at"),
    ("note", "note"),
)
# Days of the sparkline.
DETAIL_DAYS = 30
# Latest runs, records and changes on the page of a problem.
_MAX_RUNS = 20
_MAX_RECORDS = 20
_MAX_CHANGES = 50
# Lines of context around the latest line.
_LINES_BEFORE = 4
_LINES_AFTER = 2


def problems_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The list: open problems first."""
    check_permission(request)
    now = timezone.now()
    query = ProblemQuery.from_query(request.GET.dict(), request.user)
    page = CappedPaginator(query.problems(request.user, now), PAGE_SIZE).get_page(request.GET.get("page"))
    may_change = request.user.has_perm("alerts.change_problem")
    context = {
        **site.each_context(request),
        "title": _("Problems"),
        "query": query,
        "page": page,
        "rows": problem_rows(list(page), now),
        "states": [
            (_("All"), query.link(state=""), not query.state),
            *((state.label, query.link(state=state), state == query.state) for state in Problem.State),
        ],
        "periods": [
            (
                period.label,
                query.link(period="" if period.length is None else period.key),
                period == query.period,
            )
            for period in PERIODS
        ],
        "me": ME,
        "nobody": NOBODY,
        "previous_link": query.link(page=str(page.previous_page_number())) if page.has_previous() else "",
        "next_link": query.link(page=str(page.next_page_number())) if page.has_next() else "",
        "days": LIST_DAYS,
        "may_change": may_change,
        "users": possible_assignees() if may_change else (),
        "mute_days": MUTE_DAYS,
        "csv_url": reverse("admin:problems_csv") + query.link(),
    }
    return TemplateResponse(request, "console/problems/list.html", context)


def problems_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Download as CSV: the filtered list."""
    check_permission(request)
    problems = ProblemQuery.from_query(request.GET.dict(), request.user).problems(
        request.user, timezone.now()
    )
    header = [column[0] for column in _CSV_COLUMNS]
    return csv_response("problems", header, read_rows(problems, _CSV_COLUMNS))


def problem_page(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """One problem: frequency, runs, latest line with context, affected records, actions and history."""
    check_permission(request)
    now = timezone.now()
    visible = Problem.objects.visible_to(request.user).select_related("service", "assignee")
    problem = get_object_or_404(visible, pk=pk)
    frequency = frequencies([problem], DETAIL_DAYS, now)[problem.pk]
    occurrences = list(problem.occurrences().order_by("-last_at")[:_MAX_RUNS])
    runs = Run.objects.in_bulk([row.run_id for row in occurrences])
    latest = occurrences[0] if occurrences else None
    may_change = request.user.has_perm("alerts.change_problem")
    context = {
        **site.each_context(request),
        "title": problem.title,
        "problem": problem,
        "badge": problem_badge(problem),
        "level": Level(problem.level).label,
        "frequency": frequency,
        "frequency_text": frequency_text(frequency),
        "sparkline": sparkline(frequency),
        "runs": [
            (
                runs[row.run_id],
                row,
                line_url(row.run_id, row.first_sequence),
                line_url(row.run_id, row.last_sequence),
            )
            for row in occurrences
            if row.run_id in runs
        ],
        "max_runs": _MAX_RUNS,
        "latest": latest,
        "lines": _context_lines(latest) if latest else [],
        "records": _affected_records(latest) if latest else [],
        "changes": problem.changes.select_related("user").order_by("-changed_at", "-pk")[:_MAX_CHANGES],
        "may_change": may_change,
        "users": possible_assignees() if may_change else (),
        "mute_days": MUTE_DAYS,
    }
    return TemplateResponse(request, "console/problems/problem.html", context)


def problem_of_line(request: HttpRequest, run_id: int, sequence: int) -> HttpResponse:
    """Redirects from a warning or an error in a log to its problem."""
    check_permission(request)
    run = get_object_or_404(Run.objects.visible_to(request.user).only("service_id"), pk=run_id)
    line = get_object_or_404(LogEntry, run_id=run_id, sequence=sequence, level__gte=Level.WARNING)
    problem = Problem.objects.filter(service=run.service_id, fingerprint=fingerprint(line.message)).first()
    if problem is not None:
        return HttpResponseRedirect(reverse("admin:problems_problem", args=[problem.pk]))
    if RunProblem.objects.other().filter(run=run_id, last_sequence__gte=sequence).exists():
        text = _(
            "This line belongs to no problem, because its run has too many different warnings and errors."
        )
    else:
        text = _("The problem of this line is not known yet. Try again in 10 seconds.")
    messages.info(request, text)
    return HttpResponseRedirect(line_url(run_id, sequence))


def check_permission(request: HttpRequest) -> None:
    if not request.user.has_perms(("services.view_service", "runs.view_run")):
        raise PermissionDenied


def _context_lines(latest: RunProblem) -> list[dict[str, Any]]:
    """The latest line and those around it."""
    last = latest.last_sequence
    lines = LogEntry.objects.filter(
        run_id=latest.run_id, sequence__gte=last - _LINES_BEFORE, sequence__lte=last + _LINES_AFTER
    ).order_by("sequence")
    return [
        {
            "number": line.sequence,
            "url": line_url(latest.run_id, line.sequence),
            "logged_at": line.logged_at,
            "level": Level(line.level),
            "step": Step(line.step).label,
            "message": line.message,
            "is_latest": line.sequence == last,
        }
        for line in lines
    ]


def _affected_records(latest: RunProblem) -> list[tuple[str, str]]:
    """Keys of the records that the first and the latest line of the latest run decided on, with their links."""
    records = Record.objects.filter(
        run_id=latest.run_id, sequence__in={latest.first_sequence, latest.last_sequence}
    )
    keys = records.order_by("-sequence", "page", "key").values_list("key", flat=True)[:_MAX_RECORDS]
    return [(key, records_url(key=key)) for key in keys]
