"""Sparkline: the frequency of a problem by day, drawn on the server as SVG."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from apps.alerts.problems.frequency import Frequency
from apps.console.ui.formatting import number_text

_BAR = 6
_GAP = 2
_HEIGHT = 24


def sparkline(frequency: Frequency) -> SafeString:
    """One bar a day, the oldest on the left; days without lines have a line at the bottom."""
    days = frequency.days
    most = max((count for _day, count in days), default=0) or 1
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"{}/>',
        (
            (
                index * (_BAR + _GAP),
                _HEIGHT - height,
                _BAR,
                height,
                "" if count else SafeString(' class="is-empty"'),
            )
            for index, (_day, count) in enumerate(days)
            for height in [max(3, round(_HEIGHT * count / most)) if count else 1]
        ),
    )
    width = len(days) * (_BAR + _GAP) - _GAP
    return format_html(
        '<svg class="sparkline" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">{3}</svg>',
        width,
        _HEIGHT,
        frequency_text(frequency),
        bars,
    )


def frequency_text(frequency: Frequency) -> str:
    """ "37 lines in 12 runs in the last 14 days"."""
    lines = ngettext("%(count)s line", "%(count)s lines", frequency.line_count) % {
        "count": number_text(frequency.line_count)
    }
    text = ngettext(
        "%(lines)s in %(count)s run in the last %(days)d days",
        "%(lines)s in %(count)s runs in the last %(days)d days",
        frequency.run_count,
    )
    return text % {
        "lines": lines,
        "count": number_text(frequency.run_count),
        "days": len(frequency.days),
    }
