"""Formatting of times, durations, sizes and counts."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from apps.services.schedule import describe_schedule

_NOTHING = "–"


def duration_text(duration: timedelta | None) -> str:
    """Duration as "12 ms", "36.5 s", "2:44" or "1:02:03"; a dash for None."""
    if duration is None:
        return _NOTHING
    seconds = max(duration.total_seconds(), 0.0)
    if 0 < seconds < 1:
        return _("%(count)d ms") % {"count": max(1, int(seconds * 1000))}
    if seconds < 59.95:
        return _("%(seconds)s s") % {"seconds": number_format(seconds, 1)}
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span_text(span: timedelta) -> str:
    """A span in its two largest units: "2 d 3 h", "23 h 12 min", "12 min", "less than a minute"."""
    return _span_text(int(span.total_seconds()) // 60, get_language())


@lru_cache(maxsize=4096)
def _span_text(minutes: int, _language: str) -> str:
    if minutes < 1:
        return _("less than a minute")
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, _("d")), (hours, _("h")), (minutes, _("min"))]
    largest = next(index for index, (number, _unit) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[largest : largest + 2] if number)


def relative_text(moment: datetime, now: datetime) -> str:
    """The distance of `moment` from `now`: "in 12 min", "3 h 5 min ago", "just now"."""
    span = moment - now
    if span >= timedelta(minutes=1):
        return _("in %(span)s") % {"span": span_text(span)}
    if span >= timedelta():
        return _("in less than a minute")
    if span > -timedelta(minutes=1):
        return _("just now")
    return _("%(span)s ago") % {"span": span_text(-span)}


def moment_text(moment: datetime, now: datetime, *, seconds: bool = True) -> str:
    """Date and time in the active zone; with the year if it is not the current one."""
    local, today = timezone.localtime(moment), timezone.localtime(now)
    day = day_text(local.date(), with_year=local.year != today.year)
    return f"{day} {local.time().isoformat('seconds' if seconds else 'minutes')}"


def day_text(day: date, *, with_year: bool = False) -> str:
    """A day as "31 Jan", or "31 Jan 2026"."""
    return _day_text(day, "DATE_FORMAT" if with_year else "MONTH_DAY_FORMAT", get_language())


@lru_cache(maxsize=1024)
def _day_text(day: date, pattern: str, _language: str) -> str:
    return date_format(day, pattern)


def moment_html(moment: datetime | None, now: datetime) -> SafeString:
    """The same as a `<time>` element whose title has the relative time and the exact time in UTC."""
    if moment is None:
        return SafeString(_NOTHING)
    relative, text = escape(relative_text(moment, now)), escape(moment_text(moment, now))
    exact = moment.replace(tzinfo=None).isoformat(" ", "seconds")
    return SafeString(
        f'<time datetime="{moment.isoformat()}" data-moment title="{relative} · {exact} UTC">{text}</time>'
    )


def size_text(size: int | None) -> str:
    """Bytes in decimal units: "812 B", "3.1 kB", "10.6 MB"; a dash for None."""
    if size is None:
        return _NOTHING
    if size < 1000:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{number_format(amount, 1)} {unit}"
    return f"{number_format(amount / 1000, 1)} TB"


def count_text(count: int) -> str:
    """A number with thousands separators; a dash for zero, so that other values stand out."""
    return number_text(count) if count else _NOTHING


def count_html(count: int, css_class: str) -> SafeString:
    """The same with this class, zero without it."""
    return format_html('<span class="{}">{}</span>', css_class if count else "", count_text(count))


def number_text(count: int) -> str:
    """A number with thousands separators, also zero."""
    return str(count) if 0 <= count < 1000 else number_format(count, force_grouping=True)


def warnings_text(count: int) -> str:
    """ "1 warning", "1,204 warnings"."""
    return ngettext("%(count)s warning", "%(count)s warnings", count) % {"count": number_text(count)}


def schedule_text(expression: str) -> str:
    """Description of a cron expression in the active language."""
    return _schedule_text(expression, get_language())


@lru_cache(maxsize=1024)
def _schedule_text(expression: str, _language: str) -> str:
    return describe_schedule(expression)
