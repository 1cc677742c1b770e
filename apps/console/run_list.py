"""Lists the runs of one service by period, status and number, newest first: index ranges, no OFFSET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from apps.console.filters import Period, period_from
from apps.runs.models import Run
from apps.services.models import Service

PAGE_SIZE = 50
# Counting goes no further; beyond it the page says "10,000+".
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class RunQuestion:
    """Which runs are asked for."""

    period: Period
    # A status of Run.Status; empty = any.
    status: str
    # As typed: the number of a run; empty = none.
    search: str
    # The number of the run that the page before ended with; None = the first page.
    before: int | None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> RunQuestion:
        """Reads the query string; what makes no sense falls back to the default."""
        status = query.get("status", "")
        before = query.get("before", "")
        return cls(
            period=period_from(query.get("period")),
            status=status if status in Run.Status.values else "",
            search=query.get("q", "").strip().lstrip("#"),
            before=int(before) if before.isdecimal() and len(before) <= 18 else None,
        )

    @property
    def run_number(self) -> int | None:
        """The number that is searched; None where what was typed is none."""
        return int(self.search) if self.search.isdecimal() and len(self.search) <= 18 else None


@dataclass(frozen=True)
class RunPage:
    """Some runs, newest first, and how many there are in all, counted up to MOST_COUNTED."""

    runs: list[Run]
    count: int
    # Where the next page begins; None = this is the last.
    next_before: int | None

    @property
    def is_capped(self) -> bool:
        return self.count > MOST_COUNTED


def list_runs(service: Service, question: RunQuestion, now: datetime) -> RunPage:
    """One page of runs; those that never started stand where they were queued.

    Index ranges of `run_service_started`: the started ones, those that never started, and both counted.
    A run number is found whatever the period.
    """
    runs = Run.objects.filter(service=service).select_related("started_by")
    if question.search:
        found = list(runs.filter(pk=question.run_number)) if question.run_number is not None else []
        return RunPage(found, len(found), None)
    if question.status:
        runs = runs.filter(status=question.status)
    cutoff = question.period.cutoff(now)
    ending = runs.filter(pk=question.before).first() if question.before is not None else None

    started = _started(runs, cutoff, ending)[: PAGE_SIZE + 1]
    page = list(started)
    has_more = len(page) > PAGE_SIZE
    page = page[:PAGE_SIZE]
    oldest = page[-1].started_at if has_more else cutoff
    waiting = list(_never_started(runs, oldest, ending)[:PAGE_SIZE])
    page = sorted(page + waiting, key=_place, reverse=True)
    return RunPage(page, _count(runs, cutoff), _last_started(page) if has_more else None)


def _started(runs: QuerySet[Run], cutoff: datetime | None, ending: Run | None) -> QuerySet[Run]:
    started = runs.filter(started_at__isnull=False).order_by("-started_at", "-id")
    if cutoff is not None:
        started = started.filter(started_at__gte=cutoff)
    if ending is not None and ending.started_at is not None:
        started = started.filter(started_at__lte=ending.started_at).exclude(
            started_at=ending.started_at, id__gte=ending.pk
        )
    return started


def _never_started(runs: QuerySet[Run], oldest: datetime | None, ending: Run | None) -> QuerySet[Run]:
    never = runs.filter(started_at=None).order_by("-id")
    if oldest is not None:
        never = never.filter(queued_at__gte=oldest)
    if ending is not None and ending.started_at is not None:
        never = never.filter(queued_at__lt=ending.started_at)
    return never


def _count(runs: QuerySet[Run], cutoff: datetime | None) -> int:
    """Two counts, because an OR over both would read every run of the service."""
    ranges = (_started(runs, cutoff, None), _never_started(runs, cutoff, None))
    return sum(wanted.order_by().values("pk")[: MOST_COUNTED + 1].count() for wanted in ranges)


def _place(run: Run) -> tuple[datetime, int]:
    return (run.started_at or run.queued_at, run.pk)


def _last_started(page: list[Run]) -> int:
    return next(run.pk for run in reversed(page) if run.started_at is not None)
