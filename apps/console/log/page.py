"""Log page (More details), the feed that refreshes it, and its search for matches."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.log.lines import LineContext, render_lines
from apps.console.log.record_links import RecordLinks
from apps.console.log.run_status import live_status, status_version
from apps.console.log.script_texts import script_texts
from apps.console.log.search import Search
from apps.console.log.window import LogQuery, LogWindow, read_window
from apps.console.run_service.page import run_option_texts
from apps.console.ui.tab import TabState
from apps.runs.log.reading import last_sequence
from apps.runs.models import Level, Run, RunProblem, Step

# Interval of the refresh in seconds.
POLL_AFTER = 5.0
# Maximum number of retries that are listed.
_MAX_RETRIES = 5


def log_page(request: HttpRequest, site: AdminSite, run: Run) -> HttpResponse:
    """The latest 500 lines, or those around `?line=`; without JavaScript, pages of lines."""
    query = LogQuery.from_query(request.GET)
    # The run was read before its lines: if it had ended by then, no lines follow.
    window = read_window(run, query)
    context = {
        **site.each_context(request),
        "title": str(run),
        "subtitle": run.service.name,
        "run": run,
        "retries": list(run.retries.order_by("pk").only("pk")[:_MAX_RETRIES]),
        "is_held": run.held_until is not None and run.held_until > timezone.now(),
        "chosen": run_option_texts(run),
        "other_line_count": _other_line_count(run),
        "max_problems": RunProblem.MAX_PROBLEMS,
        "live": live_status(run, timezone.now()),
        "tab": TabState.of(run.status),
        "version": status_version(run),
        "query": query,
        "window": window,
        "lines": SafeString(render_lines(window.lines, _line_context(request, query, run, window))),
        "earlier": query.link(before=window.first) if window.has_earlier else "",
        "later": query.link(after=window.last) if window.has_later else "",
        "first_link": query.link(after=0),
        "latest_link": query.link(),
        "levels": [(level.slug, level.label, level in query.levels) for level in Level],
        "steps": [(step.slug, step.label, step in query.steps) for step in Step],
        "poll_after": POLL_AFTER,
        "zone": timezone.get_current_timezone_name(),
        "texts": script_texts(),
        "may_start": request.user.has_perm("runs.start_run") and not run.service.is_reported,
        "may_cancel": request.user.has_perm("runs.cancel_run"),
    }
    return TemplateResponse(request, "console/log_page.html", context)


def log_feed(request: HttpRequest, run: Run) -> JsonResponse:
    """Lines as fragments after `?after=`, before `?before=` or around `?line=`; with `?lines=0` only the status.

    An idle request costs one query beside session and user: the line count of the run shows that nothing is new.
    `poll_after` is in seconds, 0 if more lines are available, null once the run has ended and its last line is
    included.
    """
    query = LogQuery.from_query(request.GET)
    if request.GET.get("lines") == "0":
        last = last_sequence(run)
        window = LogWindow([], last, last, has_earlier=True, has_later=False)
    else:
        window = read_window(run, query)
    response: dict[str, Any] = {
        "html": render_lines(window.lines, _line_context(request, query, run, window)),
        "count": len(window.lines),
        "first": window.first,
        "cursor": window.last,
        "has_earlier": window.has_earlier,
        "has_later": window.has_later,
        "status": run.status,
        "is_open": run.is_open,
        "poll_after": _poll_after(run, window),
        "version": status_version(run),
    }
    if request.GET.get("version") != response["version"]:
        response["live"] = live_status(run, timezone.now())
        response["tab"] = TabState.of(run.status).as_json()
        if run.finished_at is not None:
            response["payloads_expire_at"] = run.finished_at + settings.PAYLOAD_RETENTION
    return _json_response(response)


def find_matches(request: HttpRequest, run: Run) -> JsonResponse:
    """The match after `?after=` or before `?before=`; without either, the numbers of the first thousand matches.

    `reached` is the last line that was searched; if `is_done` is false and nothing was found, the search continues
    from there. `is_last`: no match follows in this direction.
    """
    query = LogQuery.from_query(request.GET)
    search = Search(run, query.line_filter)
    if query.after is not None:
        found = search.forwards(query.after, 1)
        line = found.lines[0].sequence if found.lines else None
    elif query.before is not None:
        found = search.backwards(query.before, 1)
        line = found.lines[0].sequence if found.lines else None
    else:
        matches = search.count()
        return _json_response(
            {"matches": matches.numbers, "reached": matches.reached, "is_done": matches.is_done}
        )
    # A match is a result, even if more follow.
    is_done = found.is_done or line is not None
    return _json_response(
        {"line": line, "reached": found.reached, "is_done": is_done, "is_last": found.is_done}
    )


def _other_line_count(run: Run) -> int:
    """Warnings and errors that belong to no problem."""
    if run.warning_count + run.error_count <= RunProblem.MAX_PROBLEMS:
        return 0
    return RunProblem.objects.other().filter(run=run).values_list("count", flat=True).first() or 0


def _poll_after(run: Run, window: LogWindow) -> float | None:
    if window.has_later:
        return 0
    return POLL_AFTER if run.is_open else None


def _json_response(response: dict[str, object]) -> JsonResponse:
    return JsonResponse(response, headers={"Cache-Control": "no-store"})


def _line_context(request: HttpRequest, query: LogQuery, run: Run, window: LogWindow) -> LineContext:
    return LineContext(
        now=timezone.now(),
        origin=f"{request.scheme}://{request.get_host()}",
        may_download=request.user.has_perm("runs.download_payload"),
        target=query.line,
        records=RecordLinks.of(run, window.lines),
        problems_url=reverse("admin:problems_line", args=[run.pk, 0]).removesuffix("0/"),
        problem_title=_("Show the problem of this line"),
    )
