"""Frequency of problems: lines and runs, in total and by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from apps.alerts.models import Problem
from apps.runs.models import RunProblem


@dataclass
class Frequency:
    """How often a problem occurred: lines by day, the oldest first, and the number of runs."""

    days: list[tuple[date, int]]
    run_count: int = 0

    @property
    def line_count(self) -> int:
        return sum(count for _day, count in self.days)


def frequencies(problems: Sequence[Problem], days: int, now: datetime) -> dict[int, Frequency]:
    """Frequency of each problem in the last `days` days, today included; one query. A run counts at its last line."""
    today = timezone.localdate(now)
    dates = [today - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
    midnight = timezone.make_aware(datetime.combine(dates[0], datetime.min.time()))
    rows = (
        _occurrences(problems)
        .filter(last_at__gte=midnight)
        .annotate(day=TruncDate("last_at"))
        .values_list("service_id", "fingerprint", "day")
        .annotate(lines=Sum("count"), runs=Count("run_id"))
        .order_by()
    )
    lines: dict[tuple[int, str], dict[date, int]] = defaultdict(dict)
    runs: dict[tuple[int, str], int] = defaultdict(int)
    for service_id, fingerprint, day, line_count, run_count in rows if problems else ():
        lines[service_id, fingerprint][day] = line_count
        runs[service_id, fingerprint] += run_count
    return {
        problem.pk: Frequency([(day, lines[key].get(day, 0)) for day in dates], runs[key])
        for problem in problems
        for key in [(problem.service_id, problem.fingerprint)]
    }


def _occurrences(problems: Sequence[Problem]) -> QuerySet[RunProblem]:
    # A few more than those of the pairs, which the caller leaves out.
    return RunProblem.objects.filter(
        service__in={problem.service_id for problem in problems},
        fingerprint__in={problem.fingerprint for problem in problems},
    )
