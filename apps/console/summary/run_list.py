"""Runs of one service by period, status and number, newest or oldest first: index ranges, no OFFSET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from apps.console.ui.filters import (
    PERIOD_KEYS,
    Period,
    choice_errors,
    custom_period,
    custom_period_errors,
    moment_from,
    period_from,
)
from apps.console.ui.paging import MAX_COUNT
from apps.runs.models import Run
from apps.runs.models.run_queryset import RunQuerySet
from apps.services.models import Service

PAGE_SIZE = 50
# Value of the parameter `order`; otherwise newest first.
OLDEST_FIRST = "oldest"


@dataclass(frozen=True)
class RunQuery:
    """Query of the run list; the errors say which values are invalid, and then no run matches."""

    period: Period
    # A status of Run.Status; empty = any.
    status: str
    # Run number as typed; empty = none.
    search: str
    # Number of the last started run on the previous page; None = first page.
    before: int | None
    # One of Run.Trigger; empty = any.
    trigger: str = ""
    # Only runs with warnings.
    warned: bool = False
    is_oldest_first: bool = False
    errors: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> RunQuery:
        """Reads the query string."""
        period, status, trigger, warned, before = (
            query.get(name, "") for name in ("period", "status", "trigger", "warned", "before")
        )
        errors = choice_errors(
            (_("period"), period, (*PERIOD_KEYS, "custom")),
            (_("status"), status, Run.Status.values),
            (_("trigger"), trigger, Run.Trigger.values),
            (_("warnings"), warned, ("1",)),
        )
        if period == "custom":
            errors += custom_period_errors(query)
        is_number = before.isdecimal() and len(before) <= 18
        if before and not is_number:
            errors.append(_("The address of the page is incomplete. Open the list again."))
        return cls(
            period=_period(query),
            status=status if status in Run.Status.values else "",
            search=query.get("q", "").strip().lstrip("#"),
            before=int(before) if is_number else None,
            trigger=trigger if trigger in Run.Trigger.values else "",
            warned=warned == "1",
            is_oldest_first=query.get("order") == OLDEST_FIRST,
            errors=tuple(errors),
        )

    def narrow(self, runs: RunQuerySet) -> RunQuerySet:
        """Filters `runs` by everything but the period."""
        if self.status:
            runs = runs.filter(status=self.status)
        if self.trigger:
            runs = runs.filter(trigger=self.trigger)
        if self.warned:
            runs = runs.filter(warning_count__gt=0)
        return runs

    @property
    def run_number(self) -> int | None:
        """The run number searched for; None if the text is not a number."""
        return int(self.search) if self.search.isdecimal() and len(self.search) <= 18 else None


@dataclass(frozen=True)
class Totals:
    """Sums over the runs of a period; of more than MAX_COUNT, over the newest."""

    count: int = 0
    failed: int = 0
    pulled: int = 0
    pushed: int = 0
    warnings: int = 0
    errors: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(left + right for left, right in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class RunPage:
    """Runs of one page, and sums over all runs of the query, up to MAX_COUNT."""

    runs: list[Run]
    totals: Totals
    # Start of the next page; None = last page.
    next_before: int | None

    @property
    def count(self) -> int:
        return self.totals.count

    @property
    def is_capped(self) -> bool:
        return self.count > MAX_COUNT


def list_runs(service: Service, query: RunQuery, now: datetime) -> RunPage:
    """One page of runs; runs that never started are sorted by the time they were queued.

    Uses index ranges of `run_service_started`. A run number is found in any period.
    """
    if query.errors:
        return RunPage([], Totals(), None)
    runs = service.runs.select_related("started_by")
    if query.search:
        found = list(_with_number(runs, query.run_number))
        return RunPage(found, Totals(len(found)), None)
    runs = query.narrow(runs)
    started, never_started = _ranges(runs, query, now)
    last = runs.filter(pk=query.before).first() if query.before is not None else None
    if last is not None and last.started_at is not None:
        started, never_started = _rest(started, never_started, last, query)

    page = list(started[: PAGE_SIZE + 1])
    has_more = len(page) > PAGE_SIZE
    page = page[:PAGE_SIZE]
    if has_more:
        never_started = never_started.filter(_beside(page[-1], query))
    page = sorted(page + list(never_started[:PAGE_SIZE]), key=_place, reverse=not query.is_oldest_first)
    return RunPage(page, _totals(runs, query, now), _last_started(page) if has_more else None)


def run_ranges(service: Service, query: RunQuery, now: datetime) -> tuple[QuerySet[Run], QuerySet[Run]]:
    """All runs of the query: those that started, and those that never did, each in the order of the list."""
    runs = Run.objects.filter(service=service)
    if query.errors:
        return runs.none(), runs.none()
    if query.search:
        return _with_number(runs, query.run_number), runs.none()
    return _ranges(query.narrow(runs), query, now)


def _with_number(runs: QuerySet[Run], number: int | None) -> QuerySet[Run]:
    return runs.none() if number is None else runs.filter(pk=number)


def _period(query: Mapping[str, str]) -> Period:
    if query.get("period") != "custom":
        return period_from(query.get("period"))
    return custom_period(moment_from(query.get("from", "")), moment_from(query.get("to", "")))


def _totals(runs: QuerySet[Run], query: RunQuery, now: datetime) -> Totals:
    """Two sums, each limited."""
    return sum((_sum(part) for part in _ranges(runs, query, now)), Totals())


def _sum(runs: QuerySet[Run]) -> Totals:
    # From the index alone.
    counted = runs.select_related(None).order_by("-started_at")[: MAX_COUNT + 1]
    sums = counted.aggregate(
        count=Count("*"),
        failed=Count("status", filter=Q(status__in=(Run.Status.FAILED, Run.Status.LOST))),
        pulled=Sum("pulled_count"),
        pushed=Sum("pushed_count"),
        warnings=Sum("warning_count"),
        errors=Sum("error_count"),
    )
    return Totals(**{name: value or 0 for name, value in sums.items()})


def _ranges(runs: QuerySet[Run], query: RunQuery, now: datetime) -> tuple[QuerySet[Run], QuerySet[Run]]:
    """The runs of the period that started, and those that never did: an OR would read every run of the service."""
    cutoff, until = query.period.cutoff(now), query.period.until
    started, never_started = runs.filter(started_at__isnull=False), runs.filter(started_at=None)
    if cutoff is not None:
        started = started.filter(started_at__gte=cutoff)
        never_started = never_started.filter(queued_at__gte=cutoff)
    if until is not None:
        started = started.filter(started_at__lt=until)
        never_started = never_started.filter(queued_at__lt=until)
    if query.is_oldest_first:
        return started.order_by("started_at", "id"), never_started.order_by("id")
    return started.order_by("-started_at", "-id"), never_started.order_by("-id")


def _rest(
    started: QuerySet[Run], never_started: QuerySet[Run], last: Run, query: RunQuery
) -> tuple[QuerySet[Run], QuerySet[Run]]:
    """The runs after `last`, the last started run of the previous page."""
    moment = last.started_at
    if query.is_oldest_first:
        started = started.filter(started_at__gte=moment).exclude(started_at=moment, id__lte=last.pk)
        return started, never_started.filter(queued_at__gt=moment)
    started = started.filter(started_at__lte=moment).exclude(started_at=moment, id__gte=last.pk)
    return started, never_started.filter(queued_at__lt=moment)


def _beside(last: Run, query: RunQuery) -> Q:
    """Condition of the runs that never started and are on the same page as the started run `last`, or before it."""
    if query.is_oldest_first:
        return Q(queued_at__lte=last.started_at)
    return Q(queued_at__gte=last.started_at)


def _place(run: Run) -> tuple[datetime, int]:
    return (run.started_at or run.queued_at, run.pk)


def _last_started(page: list[Run]) -> int:
    return next(run.pk for run in reversed(page) if run.started_at is not None)
