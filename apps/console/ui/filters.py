"""Filters of the lists, in the URL. An invalid value has an error message, and then no row matches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext
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


def choice_errors(*fields: tuple[str | Promise, str, Collection[str]]) -> list[str]:
    """Error messages of the fields, each given as its label, its value and the values that it may have."""
    return [
        capfirst(
            gettext("Unknown %(name)s “%(value)s”. Choose one of: %(choices)s.")
            % {"name": name, "value": value[:100], "choices": ", ".join(allowed)}
        )
        for name, value, allowed in fields
        if value and value not in allowed
    ]


def custom_period_errors(query: Mapping[str, str]) -> list[str]:
    """Error messages of the parameters `from` and `to`."""
    texts = (query.get(name, "").strip() for name in ("from", "to"))
    return [
        gettext("“%(text)s” is not a time. Write one such as 2026-11-23T07:15.") % {"text": text[:100]}
        for text in texts
        if text and moment_from(text) is None
    ]


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


class ListFilter(ABC, SimpleListFilter):
    """Filter of a change list. An unknown value has an error message, and then no row matches."""

    title: Any
    parameter_name: str

    def __init__(self, request: HttpRequest, *arguments: Any) -> None:
        super().__init__(request, *arguments)
        self.errors = self.check(
            self.used_parameters.get(self.parameter_name) or "",
            [choice for choice, _label in self.lookup_choices],
        )
        for error in self.errors:
            messages.error(request, error)

    def check(self, value: str, allowed: Collection[str]) -> list[str]:
        """Error messages for the value in the URL."""
        return choice_errors((self.title, value, allowed))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.errors:
            return queryset.none()
        return self.narrow(queryset) if self.value() else queryset

    @abstractmethod
    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with the chosen value."""


class PeriodFilter(ListFilter):
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

    def check(self, value: str, allowed: Collection[str]) -> list[str]:
        return choice_errors((_("period"), value, allowed))

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        cutoff = self.period.cutoff(timezone.now())
        if cutoff is None:
            return queryset
        return queryset.filter(Q(started_at__gte=cutoff) | Q(started_at=None, queued_at__gte=cutoff))


class LastRunFilter(ListFilter):
    """Filter by the status of the last run; needs the annotation `last_status`."""

    title = _("last run")
    parameter_name = "last_run"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [*Run.Status.choices, ("never", _("Never ran"))]

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "never":
            return queryset.filter(last_run_id=None)
        return queryset.filter(last_status=self.value())


class ActiveFilter(ListFilter):
    """Filter by whether the schedule is on."""

    title = _("schedule")
    parameter_name = "active"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("yes", _("On")), ("no", _("Off or paused"))]

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(is_active=self.value() == "yes")


class ConnectionFilter(ListFilter):
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

    def check(self, value: str, allowed: Collection[str]) -> list[str]:
        """Without the names, which may be many."""
        if not value or value in allowed:
            return []
        return [gettext("Connection “%(name)s” not found.") % {"name": value[:100]}]

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset.filter(Q(source_connection__name=name) | Q(destination_connection__name=name))
