"""How long a run spent in each step: a bar drawn on the server, with the same in words beneath it."""

from __future__ import annotations

from datetime import datetime, timedelta
from numbers import Real

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.formatting import duration_text
from apps.runs.models import Run, Step

# The units of the drawing, across; it stretches to the width of the page.
_WIDTH = 1000
# Every part can be seen, however short.
_LEAST = 4


def timeline_html(run: Run, now: datetime) -> SafeString:
    """The bar and its words; nothing where no step has been timed.

    Pages go through pull, script and push in turn, so each part is the sum of its turns.
    """
    parts = _parts(run, now)
    if not parts:
        return SafeString("")
    words = [(name, label, duration_text(timedelta(seconds=seconds))) for name, label, seconds in parts]
    return format_html(
        '<svg class="timeline" viewBox="0 0 {} 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        '<ul class="timeline-words" aria-hidden="true">{}</ul>',
        _WIDTH,
        _("Time in each step: %(steps)s")
        % {"steps": ", ".join(f"{label} {duration}" for _name, label, duration in words)},
        format_html_join(
            "", '<rect class="timeline-{}" x="{}" y="0" width="{}" height="10"></rect>', _bars(parts)
        ),
        format_html_join("", '<li><i class="timeline-{}"></i>{} <b>{}</b></li>', words),
    )


def _parts(run: Run, now: datetime) -> list[tuple[str, str, float]]:
    """Name, label and seconds of each step that took time, and of what lay between them."""
    timed = run.step_seconds if isinstance(run.step_seconds, dict) else {}
    parts = [
        (step.slug, str(step.label).capitalize(), float(timed[step.slug]))
        for step in Step
        if isinstance(timed.get(step.slug), Real) and timed[step.slug] > 0
    ]
    if not parts or run.started_at is None:
        return parts
    whole = ((run.finished_at or now) - run.started_at).total_seconds()
    rest = whole - sum(seconds for _name, _label, seconds in parts)
    # Less is rounding, and in a run that goes on the step that is under way.
    if not run.is_open and rest > whole / 50:
        parts.append(("rest", _("Around them"), rest))
    return parts


def _bars(parts: list[tuple[str, str, float]]) -> list[tuple[str, str, str]]:
    whole = sum(seconds for _name, _label, seconds in parts)
    space = _WIDTH - _LEAST * len(parts)
    bars, left = [], 0.0
    for name, _label, seconds in parts:
        width = _LEAST + space * seconds / whole
        bars.append((name, f"{left:.1f}", f"{max(width - 2, 1):.1f}"))
        left += width
    return bars
