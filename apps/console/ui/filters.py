"""Filters of the lists; an unknown value in the URL means the default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from apps.console.ui.formatting import moment_text
from apps.console.ui.remembered_period import remembered
from apps.runs.models import Run
from apps.services.models import Connection


@dataclass(frozen=True)
class Period:
    """How far back a list of runs reaches; without a length, to the beginning."""

    key: str
    label: str | Promise
    # End of the sentence "37 runs started …".
    text: str | Promise
    length: timedelta | None = None
    # Ends of a custom range, the second excluded; None = open.
    since: datetime | None = None
    until: datetime | None = None

    def cutoff(self, now: datetime) -> datetime | None:
        return now - self.length if self.length else self.since


PERIODS = (
    Period("1h", _("Last hour"), _("in the last hour"), timedelta(hours=1)),
    Period("24h", _("Last 24 hours"), _("in the last 24 hours"), timedelta(hours=24)),
    Period("7d", _("7 days"), _("in the last 7 days"), timedelta(days=7)),
    Period("30d", _("30 days"), _("in the last 30 days"), timedelta(days=30)),
    Period("any", _("Any time"), _("at any time")),
)
DEFAULT_PERIOD = PERIODS[1]
PERIOD_KEYS = tuple(period.key for period in PERIODS)


def period_from(key: str | None) -> Period:
    """The period with this key; 24 hours for an unknown one."""
    return next((period for period in PERIODS if period.key == key), DEFAULT_PERIOD)


def moment_from(text: str) -> datetime | None:
    """Value of a field for date and time, or for a date, in the active zone; None if it is invalid."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    except (ValueError, OverflowError):
        return None


def custom_period(since: datetime | None, until: datetime | None) -> Period:
    """The period between two times, either of which may be open."""
    now = timezone.now()
    if since and until:
        text = format_lazy(
            _("from {since} to {until}"), since=moment_text(since, now), until=moment_text(until, now)
        )
    elif since:
        text = format_lazy(_("since {since}"), since=moment_text(since, now))
    elif until:
        text = format_lazy(_("before {until}"), until=moment_text(until, now))
    else:
        text = _("at any time")
    return Period("custom", _("From … to"), text, since=since, until=until)


class PeriodFilter(SimpleListFilter):
    """Filter by the start of a run; by default the period that was chosen last, at first 24 hours."""

    title = _("started")
    parameter_name = "period"
    # Name under which the last choice is remembered.
    memory = "runs_period"

    def __init__(self, request: HttpRequest, *arguments: Any) -> None:
        self.period = self.period_of(request)
        super().__init__(request, *arguments)

    @classmethod
    def period_of(cls, request: HttpRequest) -> Period:
        return period_from(request.GET.get(cls.parameter_name) or remembered(request, cls.memory))

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [(period.key, period.label) for period in PERIODS]

    def value(self) -> str:
        return self.period.key

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for period in PERIODS:
            yield {
                "selected": self.value() == period.key,
                "query_string": changelist.get_query_string({self.parameter_name: period.key}),
                "display": period.label,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        cutoff = self.period.cutoff(timezone.now())
        if cutoff is None:
            return queryset
        return queryset.filter(Q(started_at__gte=cutoff) | Q(started_at=None, queued_at__gte=cutoff))


class LastRunFilter(SimpleListFilter):
    """Filter by the status of the last run; needs the annotation `last_status`."""

    title = _("last run")
    parameter_name = "last_run"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [*Run.Status.choices, ("never", _("Never ran"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "never":
            return queryset.filter(last_run_id=None)
        return queryset.filter(last_status=self.value()) if self.value() in Run.Status.values else queryset


class ActiveFilter(SimpleListFilter):
    """Filter by whether the schedule is on."""

    title = _("schedule")
    parameter_name = "active"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("yes", _("On")), ("no", _("Off or paused"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(is_active=self.value() == "yes") if self.value() in {"yes", "no"} else queryset


class ConnectionFilter(SimpleListFilter):
    """Filter by source or destination connection."""

    title = _("connection")
    parameter_name = "connection"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        names = (
            Connection.objects.not_hidden_from(request.user).order_by("name").values_list("name", flat=True)
        )
        return [(name, name) for name in names]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """The choices with their values: a long list is a select."""
        values = ("", *(value for value, _label in self.lookup_choices))
        others = [pair for pair in changelist.params.items() if pair[0] != self.parameter_name]
        for value, choice in zip(values, super().choices(changelist), strict=True):
            yield {**choice, "value": value, "others": others}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (name := self.value()):
            return queryset
        return queryset.filter(Q(source_connection__name=name) | Q(destination_connection__name=name))
