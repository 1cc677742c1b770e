"""Links to the log lines and the records of a run."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.urls import get_script_prefix, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.formatting import count_text
from apps.runs.models import Run

# Stands for the number of a row in what is rendered once for all rows.
ANY_NUMBER = 900_719_925_474_099


def row_url(name: str, number: int, *arguments: str) -> str:
    """URL of the page `name` of the row with this number: reverse() without its cost per row of a list."""
    return _url_format(get_script_prefix(), name, arguments) % number


@lru_cache
def _url_format(_script_prefix: str, name: str, arguments: tuple[str, ...]) -> str:
    url = reverse(name, args=[ANY_NUMBER, *arguments])
    return url.replace("%", "%%").replace(str(ANY_NUMBER), "%d")


def line_url(run_id: int, sequence: int) -> str:
    """The permanent link of a log line; of the log, if the line is unknown."""
    log = row_url("admin:runs_run_log", run_id)
    return f"{log}?line={sequence}#L{sequence}" if sequence else log


def records_url(**filters: Any) -> str:
    """The records page with these filters."""
    return f"{reverse('admin:records')}?{urlencode(filters)}"


def pulled_html(run: Run) -> SafeString:
    """The pulled count of a run, a link to its records if they were tracked."""
    return _count(run, count_text(run.pulled_count), run.pulled_count)


def pushed_html(run: Run) -> SafeString:
    return _count(run, count_text(run.pushed_count), run.pushed_count, outcome="pushed")


def refused_html(run: Run) -> SafeString:
    return _count(run, count_text(run.refused_count), run.refused_count, outcome="refused")


def refused_note(run: Run) -> SafeString:
    """ "3 refused" below the pushed count; empty if none was refused."""
    if not run.refused_count:
        return SafeString("")
    text = _("%(count)s refused") % {"count": count_text(run.refused_count)}
    return format_html(
        '<span class="subtext has-errors">{}</span>', _count(run, text, run.refused_count, outcome="refused")
    )


def _count(run: Run, text: str, count: int, **filters: str) -> SafeString:
    if not count or not run.has_records:
        return SafeString(text)
    return format_html('<a href="{}">{}</a>', records_url(run=run.pk, **filters), text)
