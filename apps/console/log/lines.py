"""Log lines as `<li>` fragments, shared by the log page and its feed; every value is escaped.

Plain string formatting: a page has 500 lines, and a template takes four times as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from html import escape

from django.utils import timezone
from django.utils.translation import get_language

from apps.console.log.record_links import RecordLinks
from apps.console.payloads.links import payload_chip
from apps.runs.log.reading import Line
from apps.runs.models import Level, Step


@dataclass(frozen=True)
class LineContext:
    """The part of a request that the lines depend on."""

    now: datetime
    # Scheme and host, for the `curl` command of a payload.
    origin: str
    may_download: bool
    # The line that the URL names.
    target: int | None = None
    records: RecordLinks = field(default_factory=RecordLinks)
    # Address before the number of a line, and the title of the link; empty = no links.
    problems_url: str = ""
    problem_title: str = ""


def render_lines(lines: Iterable[Line], context: LineContext) -> str:
    """The lines as HTML, one `<li>` each; its id is the permanent link `#L123`."""
    zone = timezone.get_current_timezone()
    labels = _labels(get_language())
    parts = []
    for line in lines:
        number = line.sequence
        local = line.logged_at.astimezone(zone)
        # Formatted by slices: strftime takes longer than the rest of the line.
        logged_at = local.isoformat(timespec="microseconds")
        selected = " is-selected" if number == context.target else ""
        parts.append(
            f'<li class="line line-{line.level.slug}{selected}" id="L{number}">'
            f'<a class="line-number" href="?line={number}#L{number}">{number}</a>'
            f'<time class="line-time" datetime="{logged_at}"'
            f' title="{logged_at[:10]} {logged_at[11:26]} {local.tzname()}">{logged_at[11:23]}</time>'
            f'{_level(line, labels[line.level], context)}<span class="line-step">{labels[line.step]}</span>'
            f'<span class="line-message">{context.records.message_html(line)}</span>'
            f"{context.records.decided_html(line)}{_payloads(line, context)}</li>\n"
        )
    return "".join(parts)


def _level(line: Line, label: str, context: LineContext) -> str:
    """The level; of a warning or an error a link to its problem."""
    if line.level < Level.WARNING or not context.problems_url:
        return f'<span class="line-level">{label}</span>'
    return (
        f'<a class="line-level" href="{context.problems_url}{line.sequence}/"'
        f' title="{escape(context.problem_title)}">{label}</a>'
    )


def _payloads(line: Line, context: LineContext) -> str:
    if not line.payloads:
        return ""
    chips = (
        payload_chip(payload, context.now, context.origin, may_download=context.may_download)
        for payload in line.payloads
    )
    return f'<div class="payloads">{"".join(chips)}</div>'


@cache
def _labels(_language: str | None) -> dict[Level | Step, str]:
    """The labels of levels and steps in the current language, which is the key of the cache."""
    return {member: escape(str(member.label)) for member in (*Level, *Step)}
