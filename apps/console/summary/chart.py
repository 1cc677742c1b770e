"""Chart of the daily transactions of a service, drawn on the server as SVG.

It stretches with the page: horizontal positions are percentages, so that it needs no script and no style attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.formatting import day_text, number_text

_HEIGHT = 150
_TOP = 14
_BASE = 116
# Space for the labels of the scale, in per cent of the width.
_LEFT = 5.0


@dataclass(frozen=True)
class Day:
    """Transactions of the runs that started on one day."""

    date: date
    run_count: int = 0
    failed_count: int = 0
    pulled_count: int = 0
    pushed_count: int = 0


def draw_chart(days: Sequence[Day]) -> SafeString:
    """Two bars a day, pulled and pushed, and a red one below for failed runs; a script shows the numbers of a day."""
    top = round_up(max((max(day.pulled_count, day.pushed_count) for day in days), default=0))
    width = (100 - _LEFT) / max(len(days), 1)
    drawn = ((_day(day, _LEFT + index * width, width, top),) for index, day in enumerate(days))
    labelled = range(len(days) - 1, -1, -max(round(len(days) / 5), 1))
    labels = ((_label(days[index].date, _LEFT + (index + 0.5) * width),) for index in labelled)
    return format_html(
        '<svg class="chart" height="{}" width="100%" role="img" aria-label="{}">{}{}{}</svg>',
        _HEIGHT,
        _summary(days),
        _scale(top),
        format_html_join("", "{}", drawn),
        format_html_join("", "{}", labels),
    )


def round_up(number: int) -> int:
    """The next 1, 2, 5 × 10ⁿ from `number`, at least 10, for round labels of the scale."""
    scale = 10
    while scale < number:
        for factor in (2, 5, 10):
            if scale * factor >= number:
                return scale * factor
        scale *= 10
    return scale


def _summary(days: Sequence[Day]) -> str:
    return _(
        "Daily transactions of %(days)s days: %(pulled)s records pulled, %(pushed)s pushed, "
        "%(failed)s of %(runs)s runs failed. The table below has the numbers."
    ) % {
        "days": len(days),
        "pulled": number_text(sum(day.pulled_count for day in days)),
        "pushed": number_text(sum(day.pushed_count for day in days)),
        "failed": number_text(sum(day.failed_count for day in days)),
        "runs": number_text(sum(day.run_count for day in days)),
    }


def _scale(top: int) -> SafeString:
    lines = (
        (_y(top, top), "gridline", top),
        (_y(top / 2, top), "gridline", top // 2),
        (_y(0, top), "axis", 0),
    )
    return format_html_join(
        "",
        '<line class="chart-{1}" x1="{3}%" x2="100%" y1="{0}" y2="{0}"/>'
        '<text x="{4}%" y="{0}" dy="4" text-anchor="end">{2}</text>',
        ((y, kind, compact(number), _LEFT, _LEFT - 0.6) for y, kind, number in lines),
    )


def _day(day: Day, left: float, width: float, top: int) -> SafeString:
    bars = (("pulled", day.pulled_count, 0.14), ("pushed", day.pushed_count, 0.51))
    bars_html = [
        format_html(
            '<rect class="chart-{}" x="{}%" width="{}%" y="{}" height="{}" rx="1.5"/>',
            kind,
            round(left + width * shift, 3),
            round(width * 0.35, 3),
            _y(count, top),
            round(_BASE - _y(count, top), 1),
        )
        for kind, count, shift in bars
        if count
    ]
    if day.failed_count:
        bars_html.append(
            format_html(
                '<rect class="chart-failed" x="{}%" width="{}%" y="{}" height="5" rx="1.5"/>',
                round(left + width * 0.14, 3),
                round(width * 0.72, 3),
                _BASE + 5,
            )
        )
    return format_html(
        '<g data-day="{0}"><title>{0}</title>'
        '<rect class="chart-hover-area" x="{1}%" width="{2}%" y="{3}" height="{4}"/>{5}</g>',
        _day_text(day),
        round(left, 3),
        round(width, 3),
        _TOP - 8,
        _BASE - _TOP + 20,
        format_html_join("", "{}", ((bar,) for bar in bars_html)),
    )


def _day_text(day: Day) -> str:
    return _("%(day)s: %(pulled)s pulled, %(pushed)s pushed; %(runs)s runs, %(failed)s failed") % {
        "day": f"{date_format(day.date, 'D')} {day_text(day.date)}",
        "pulled": number_text(day.pulled_count),
        "pushed": number_text(day.pushed_count),
        "runs": number_text(day.run_count),
        "failed": number_text(day.failed_count),
    }


def _label(day: date, centre: float) -> SafeString:
    return format_html(
        '<text x="{}%" y="{}" text-anchor="{}">{}</text>',
        round(min(centre, 99.9), 3),
        _BASE + 27,
        "end" if centre > 96 else "middle",
        day_text(day),
    )


def _y(count: float, top: int) -> float:
    return round(_BASE - (_BASE - _TOP) * count / top, 1)


def compact(number: int) -> str:
    """A number for the scale: 500, 20 k, 5 M."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            text = f"{number / size:.1f}".removesuffix(".0")
            return f"{text} {unit}"
    return number_text(number)
