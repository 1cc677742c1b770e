"""Links to the log lines and the records of a run."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from apps.console.ui.formatting import count_text
from apps.runs.models import Run


def line_url(run_id: int, sequence: int) -> str:
    """The permanent link of a log line; of the log, if the line is unknown."""
    log = reverse("admin:runs_run_log", args=[run_id])
    return f"{log}?line={sequence}#L{sequence}" if sequence else log


def records_url(**filters: Any) -> str:
    """The records page with these filters."""
    return f"{reverse('admin:records')}?{urlencode(filters)}"


def count_html(run: Run, count: int, **filters: str) -> SafeString:
    """A count of records of a run, as a link to these records if they were tracked."""
    text = count_text(count)
    if not count or not run.has_records:
        return SafeString(text)
    return format_html('<a href="{}">{}</a>', records_url(run=run.pk, **filters), text)
