"""Problems as lists show them, and the panel of open problems on other pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from apps.alerts.models import Problem
from apps.alerts.problems.frequency import Frequency, frequencies
from apps.console.problems.badges import problem_badge
from apps.console.problems.sparkline import sparkline
from apps.console.ui.formatting import number_text
from apps.services.models import Service

# Days of the sparklines.
LIST_DAYS = 14
# Rows of the panel.
_MAX_ROWS = 5


@dataclass(frozen=True)
class ProblemRow:
    """A problem with its state and frequency."""

    problem: Problem
    badge: SafeString
    frequency: Frequency
    sparkline: SafeString


@dataclass(frozen=True)
class ProblemPanel:
    """The latest open problems, and the list of all of them."""

    rows: list[ProblemRow]
    title: str
    url: str


def problem_rows(problems: list[Problem], now: datetime) -> list[ProblemRow]:
    """One query for the frequencies of all."""
    found = frequencies(problems, LIST_DAYS, now)
    return [
        ProblemRow(problem, problem_badge(problem), found[problem.pk], sparkline(found[problem.pk]))
        for problem in problems
    ]


def problem_panel(user: Any, now: datetime, service: Service | None = None) -> ProblemPanel | None:
    """Open problems of one service or of all, None if there are none, which takes one query."""
    problems = Problem.objects.visible_to(user).open()
    if service is not None:
        problems = problems.filter(service=service)
    latest = list(problems.select_related("service").order_by("-last_seen_at", "-pk")[: _MAX_ROWS + 1])
    if not latest:
        return None
    count = problems.count() if len(latest) > _MAX_ROWS else len(latest)
    title = ngettext("%(count)s open problem", "%(count)s open problems", count)
    of_service = f"&service={service.slug}" if service is not None else ""
    return ProblemPanel(
        problem_rows(latest[:_MAX_ROWS], now),
        title % {"count": number_text(count)},
        f"{reverse('admin:problems')}?state=open{of_service}",
    )
