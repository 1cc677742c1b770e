"""More details: the log of a run as a page, the feed that keeps it live, and the log as a text file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.log_lines import LineFacts, render_lines
from apps.console.log_window import LogQuestion, LogWindow, read_window
from apps.console.run_facts import facts_version, live_facts
from apps.runs.logs.reading import all_lines, last_sequence
from apps.runs.models import Level, Run

# Seconds between two looks at a run that goes on.
POLL_AFTER = 5.0


def log_page(request: HttpRequest, site: AdminSite, run: Run) -> HttpResponse:
    """The latest 500 lines, or those around `?line=`; without JavaScript, pages of lines."""
    question = LogQuestion.from_query(request.GET.dict())
    # The run was read before its lines: if it had ended by then, none can come after these.
    window = read_window(run, question)
    context = {
        **site.each_context(request),
        "title": str(run),
        "subtitle": run.service.name,
        "run": run,
        "live": live_facts(run, timezone.now()),
        "version": facts_version(run),
        "question": question,
        "window": window,
        "cursor": _cursor(run, question, window),
        "lines": SafeString(render_lines(window.lines, _line_facts(request, question))),
        "earlier": question.link(before=window.first) if window.has_earlier and window.lines else "",
        "later": question.link(after=window.last) if window.has_later and window.lines else "",
        "first_link": question.link(after=0),
        "latest_link": question.link(),
        "levels": _level_choices(question),
        "poll_after": POLL_AFTER,
        "words": _words(),
        "may_start": request.user.has_perm("runs.start_run"),
        "may_cancel": request.user.has_perm("runs.cancel_run"),
    }
    return TemplateResponse(request, "console/log_page.html", context)


def log_feed(request: HttpRequest, run: Run) -> JsonResponse:
    """What came after `?after=`, or stands before `?before=`, as fragments; with `?lines=0` only how it goes.

    Idle, it reads the run and looks for lines: two queries. `poll_after` is in seconds, 0 while more lines
    wait, null once the run has ended and its last line is here.
    """
    question = LogQuestion.from_query(request.GET.dict())
    if request.GET.get("lines") == "0":
        window, cursor = LogWindow([], has_earlier=True, has_later=False), last_sequence(run)
    else:
        # With a filter the log may be longer than its last hit; read before the lines, so that none is passed.
        known = last_sequence(run) if question.is_filtered and question.before is None else 0
        window = read_window(run, question)
        cursor = window.last if window.has_later else max(window.last, known, question.after or 0)
    answer: dict[str, Any] = {
        "html": render_lines(window.lines, _line_facts(request, question)),
        "count": len(window.lines),
        "first": window.first,
        "cursor": cursor,
        "has_earlier": window.has_earlier,
        "status": run.status,
        "is_open": run.is_open,
        "poll_after": _poll_after(run, window),
        "version": facts_version(run),
    }
    if request.GET.get("version") != answer["version"]:
        answer["live"] = live_facts(run, timezone.now())
        if run.finished_at is not None:
            answer["payloads_expire_at"] = run.finished_at + settings.PAYLOAD_RETENTION
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})


def log_download(request: HttpRequest, run: Run) -> StreamingHttpResponse:
    """The whole log up to now as text, streamed in batches."""
    response = StreamingHttpResponse(_text_of(run), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}.log"'
    return response


def _text_of(run: Run) -> Iterator[str]:
    for line in all_lines(run):
        moment = line.logged_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        yield f"{line.sequence}\t{moment}\t{line.level.name}\t{line.step.slug}\t{line.message}\n"


def _poll_after(run: Run, window: LogWindow) -> float | None:
    if window.has_later:
        return 0
    return POLL_AFTER if run.is_open else None


def _cursor(run: Run, question: LogQuestion, window: LogWindow) -> int:
    """The line from which the page goes on; with a filter it may have to be looked up."""
    return window.last or (last_sequence(run) if question.is_filtered else 0)


def _line_facts(request: HttpRequest, question: LogQuestion) -> LineFacts:
    return LineFacts(
        now=timezone.now(),
        origin=f"{request.scheme}://{request.get_host()}",
        may_download=request.user.has_perm("runs.download_payload"),
        wanted=question.line,
    )


def _level_choices(question: LogQuestion) -> list[tuple[str, str, bool]]:
    choices = (
        ("", _("All levels")),
        (Level.INFO.slug, _("Info and above")),
        (Level.WARNING.slug, _("Warnings and errors")),
        (Level.ERROR.slug, _("Errors")),
    )
    return [(value, label, value == question.level) for value, label in choices]


def _words() -> dict[str, str]:
    """What the page's script says; %s stands for a number, a time or a span."""
    return {
        "on": _("Auto-refresh is on"),
        "off": _("Auto-refresh is off"),
        "new": _("%s new lines"),
        "one": _("1 new line"),
        "further": _("%s lines further on"),
        "ended": _("The run has ended; its log is complete on this page."),
        "offline": _("No connection to the server. Trying again every few seconds; no line is lost."),
        "online": _("The connection is back."),
        "signedOut": _("You have been signed out. Sign in again and this page goes on where it stopped."),
        "forbidden": _("You may no longer read this run. Refreshing has stopped."),
        "missing": _("This run is no longer there. Refreshing has stopped."),
        "left": _("works for %s"),
        "gone": _("expired"),
        "hours": _("h"),
        "minutes": _("min"),
        "moments": _("less than a minute"),
    }
