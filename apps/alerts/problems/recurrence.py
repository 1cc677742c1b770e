"""Recurrence: new occurrences create problems, and open those that were resolved or muted."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Greatest
from django.urls import reverse

from apps.alerts.incidents.problem_events import problem_event
from apps.alerts.models import Problem, ProblemChange
from apps.runs.models import RunProblem

logger = logging.getLogger(__name__)

# Occurrences that are read at once; further ones wait for the next run.
_MAX_ROWS = 2_000
_RATE_PERIOD = timedelta(hours=1)


@dataclass
class Recurrence:
    """Number of problems that were created, and of those that were opened again."""

    created: int = 0
    reopened: int = 0


def note_occurrences(now: datetime) -> Recurrence:
    """Creates problems for new fingerprints, and opens problems that recurred or whose mute has ended.

    It may be interrupted and repeated. Occurrences are marked outside of a transaction, so that no run waits.
    """
    result = Recurrence()
    groups: dict[tuple[int, str], list[RunProblem]] = defaultdict(list)
    for row in RunProblem.objects.unnoted().order_by("run_id")[:_MAX_ROWS]:
        groups[row.service_id, row.fingerprint].append(row)
    known = {
        (problem.service_id, problem.fingerprint): problem
        for problem in Problem.objects.filter(
            service__in={service for service, _fingerprint in groups},
            fingerprint__in={fingerprint for _service, fingerprint in groups},
        )
    }
    for key, rows in groups.items():
        if (problem := known.get(key)) is None:
            result.created += _create(rows)
        else:
            result.reopened += _note(problem, rows, now)
        for row in rows:
            # If the run has logged more in the meantime, the row is read again.
            RunProblem.objects.filter(pk=row.pk, last_sequence=row.last_sequence).update(is_noted=True)
    for problem in Problem.objects.filter(state=Problem.State.MUTED, muted_until__lte=now)[:_MAX_ROWS]:
        result.reopened += _open(problem, Q(muted_until__lte=now), ProblemChange.Action.UNMUTED, now)
    if result.created or result.reopened:
        logger.info("Problems: %d new, %d reopened", result.created, result.reopened)
    return result


@transaction.atomic
def _create(rows: list[RunProblem]) -> bool:
    first = min(rows, key=lambda row: row.first_at)
    problem, is_new = Problem.objects.get_or_create(
        service_id=first.service_id,
        fingerprint=first.fingerprint,
        defaults={
            "title": first.message[:200],
            "level": max(row.level for row in rows),
            "first_seen_at": first.first_at,
            "last_seen_at": max(row.last_at for row in rows),
        },
    )
    if is_new:
        _announce(problem, "new")
    return is_new


def _note(problem: Problem, rows: list[RunProblem], now: datetime) -> bool:
    last_at = max(row.last_at for row in rows)
    Problem.objects.filter(pk=problem.pk).update(
        last_seen_at=Greatest(F("last_seen_at"), last_at),
        level=max(problem.level, *(row.level for row in rows)),
    )
    if problem.state == Problem.State.RESOLVED:
        return _open(problem, Q(resolved_at__lt=last_at), ProblemChange.Action.RECURRED, now)
    rate = problem.muted_rate
    if (
        problem.state == Problem.State.MUTED
        and rate is not None
        and lines_since(problem, now - _RATE_PERIOD) > rate
    ):
        return _open(problem, Q(muted_rate=rate), ProblemChange.Action.RATE, now)
    return False


def lines_since(problem: Problem, cutoff: datetime) -> int:
    """Lines of the runs in which the problem has occurred since `cutoff`."""
    return problem.occurrences().filter(last_at__gte=cutoff).aggregate(lines=Sum("count"))["lines"] or 0


@transaction.atomic
def _open(problem: Problem, condition: Q, action: ProblemChange.Action, now: datetime) -> bool:
    """Opens the problem unless it was changed in the meantime."""
    unchanged = Problem.objects.filter(condition, pk=problem.pk, state=problem.state)
    is_opened = unchanged.update(
        state=Problem.State.OPEN, reopened_at=now, resolved_at=None, muted_until=None, muted_rate=None
    )
    if is_opened:
        ProblemChange.objects.create(problem=problem, changed_at=now, action=action)
        problem.refresh_from_db()
        _announce(problem, "reopened")
    return bool(is_opened)


def _announce(problem: Problem, kind: str) -> None:
    """Alerts in a savepoint: the problem is recorded even if an error occurs there."""
    try:
        with transaction.atomic():
            problem_event(
                problem.service, kind, problem.title, reverse("admin:problems_problem", args=[problem.pk])
            )
    # Whatever it is, it is logged, and the next problems are recorded.
    except Exception:
        logger.exception("Problem %d: its alerts could not be created", problem.pk)
