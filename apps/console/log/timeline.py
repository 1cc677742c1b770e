"""Time that a run spent in each step, as a bar with a legend."""

from __future__ import annotations

from datetime import datetime, timedelta
from numbers import Real

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.formatting import duration_text
from apps.runs.models import Run, Step

# Units of the drawing; it stretches to the width of the page.
_WIDTH = 1000
# Width of the shortest part, so that it stays visible.
_MIN_WIDTH = 4


def timeline_html(run: Run, now: datetime) -> SafeString:
    """Bar and legend; empty if no step was timed. Each part is the sum over all pages."""
    parts = _parts(run, now)
    if not parts:
        return SafeString("")
    legend = [(name, label, duration_text(timedelta(seconds=seconds))) for name, label, seconds in parts]
    return format_html(
        '<svg class="timeline" viewBox="0 0 {} 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        '<ul class="timeline-legend" aria-hidden="true">{}</ul>',
        _WIDTH,
        _("Time in each step: %(steps)s")
        % {"steps": ", ".join(f"{label} {duration}" for _name, label, duration in legend)},
        format_html_join(
            "", '<rect class="timeline-{}" x="{}" y="0" width="{}" height="10"></rect>', _bars(parts)
        ),
        format_html_join("", '<li><i class="timeline-{}"></i>{} <b>{}</b></li>', legend),
    )


def _parts(run: Run, now: datetime) -> list[tuple[str, str, float]]:
    """Name, label and seconds of each step, and of the time outside of the steps."""
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
    # Less is rounding; in a running run it is the current step.
    if not run.is_open and rest > whole / 50:
        parts.append(("other", _("Other"), rest))
    return parts


def _bars(parts: list[tuple[str, str, float]]) -> list[tuple[str, str, str]]:
    whole = sum(seconds for _name, _label, seconds in parts)
    space = _WIDTH - _MIN_WIDTH * len(parts)
    bars, left = [], 0.0
    for name, _label, seconds in parts:
        width = _MIN_WIDTH + space * seconds / whole
        bars.append((name, f"{left:.1f}", f"{max(width - 2, 1):.1f}"))
        left += width
    return bars
