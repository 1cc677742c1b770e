"""Daily transactions: sums of the runs of a service by day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.console.summary.chart import Day
from apps.console.ui.filters import choice_errors
from apps.runs.models import Run
from apps.services.models import Service

LENGTHS = (7, 30, 90)
DEFAULT_LENGTH = 30
MAX_DAYS = 366
# Maximum number of runs that are aggregated, for services that run every few seconds.
MAX_AGGREGATED = 50_000


@dataclass(frozen=True)
class DayRange:
    """Days of the chart, both ends included; `length` is that of the selection, None = custom.

    The errors say which values of the query are invalid; then the range is the default one.
    """

    first: date
    last: date
    length: int | None = DEFAULT_LENGTH
    errors: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, str], now: datetime) -> DayRange:
        """Reads `days`, or `days=custom` with `first` and `last`."""
        today = timezone.localtime(now).date()
        days = query.get("days", "")
        lengths = [str(length) for length in LENGTHS]
        errors = choice_errors((_("number of days"), days, (*lengths, "custom")))
        if days == "custom":
            first, last = _day_from(query.get("first", "")), _day_from(query.get("last", "") or str(today))
            if first is not None and last is not None and first <= last:
                return cls(max(first, last - timedelta(days=MAX_DAYS - 1)), last, None)
            errors.append(_("Invalid days of the chart. Choose a first day and a last day after it."))
        length = int(days) if days in lengths else DEFAULT_LENGTH
        return cls(today - timedelta(days=length - 1), today, length, tuple(errors))

    @property
    def text(self) -> str:
        """End of the heading "Daily transactions, …"."""
        if self.length is not None:
            return ngettext("last %(count)s day", "last %(count)s days", self.length) % {"count": self.length}
        return _("%(first)s to %(last)s") % {
            "first": date_format(self.first),
            "last": date_format(self.last),
        }


@dataclass(frozen=True)
class Transactions:
    """Days, oldest first, and whether they include all runs of the range or only the newest."""

    days: list[Day]
    is_whole: bool


def daily_transactions(service: Service, day_range: DayRange) -> Transactions:
    """Transactions of each day in the active time zone; one query over `run_service_started`, limited by
    MAX_AGGREGATED.
    """
    since, until = _midnight(day_range.first), _midnight(day_range.last + timedelta(days=1))
    of_range = Run.objects.filter(service=service, started_at__gte=since, started_at__lt=until)
    # With more runs, aggregation begins at the start of the MAX_AGGREGATED newest.
    beyond = of_range.order_by("-started_at").values("started_at")[MAX_AGGREGATED : MAX_AGGREGATED + 1]
    rows = (
        of_range.filter(started_at__gte=Coalesce(Subquery(beyond), Value(since)))
        .order_by()
        .values(day=TruncDate("started_at"))
        .annotate(
            run_count=Count("*"),
            failed_count=Count("status", filter=Q(status__in=(Run.Status.FAILED, Run.Status.LOST))),
            pulled_sum=Sum("pulled_count"),
            pushed_sum=Sum("pushed_count"),
        )
    )
    found = {row["day"]: _day(row) for row in rows}
    dates = (
        day_range.first + timedelta(days=number)
        for number in range((day_range.last - day_range.first).days + 1)
    )
    days = [found.get(day, Day(day)) for day in dates]
    return Transactions(days, sum(day.run_count for day in days) <= MAX_AGGREGATED)


def _day(row: Mapping[str, Any]) -> Day:
    return Day(row["day"], row["run_count"], row["failed_count"], row["pulled_sum"], row["pushed_sum"])


def _day_from(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
