"""Changes of problems by users: state, assignee and note, each with an entry in the history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from apps.alerts.models import Problem, ProblemChange
from apps.audit.models import Action
from apps.audit.recording import record_event

_ACTIONS = {
    Problem.State.OPEN: ProblemChange.Action.REOPENED,
    Problem.State.MUTED: ProblemChange.Action.MUTED,
    Problem.State.RESOLVED: ProblemChange.Action.RESOLVED,
}


def set_state(
    problem: Problem,
    state: Problem.State,
    *,
    user: Any,
    now: datetime,
    muted_until: datetime | None = None,
    muted_rate: int | None = None,
) -> bool:
    """Sets the state; returns whether anything changed. A mute without a time or a rate lasts until a user ends it."""
    with transaction.atomic():
        current = Problem.objects.select_for_update().get(pk=problem.pk)
        before = (current.state, current.muted_until, current.muted_rate)
        if before == (state, muted_until, muted_rate):
            return False
        _update(
            problem,
            state=state,
            muted_until=muted_until,
            muted_rate=muted_rate,
            resolved_at=now if state == Problem.State.RESOLVED else None,
        )
        _record(problem, _ACTIONS[state], user, now, _mute_text(muted_until, muted_rate))
    return True


def assign(problem: Problem, assignee: User | None, *, user: Any, now: datetime) -> bool:
    """Assigns the problem to a user, or to nobody; returns whether anything changed."""
    with transaction.atomic():
        current = Problem.objects.select_for_update().get(pk=problem.pk)
        if current.assignee_id == (assignee and assignee.pk):
            return False
        _update(problem, assignee=assignee)
        name = assignee.get_username() if assignee else ""
        _record(problem, ProblemChange.Action.ASSIGNED, user, now, name)
    return True


def set_note(problem: Problem, note: str, *, user: Any, now: datetime) -> bool:
    """Replaces the note; returns whether anything changed."""
    with transaction.atomic():
        current = Problem.objects.select_for_update().get(pk=problem.pk)
        if current.note == note:
            return False
        _update(problem, note=note)
        _record(problem, ProblemChange.Action.NOTED, user, now, note)
    return True


def possible_assignees() -> QuerySet[User]:
    """Active staff, by name."""
    return User.objects.filter(is_active=True, is_staff=True).order_by("username")


def _update(problem: Problem, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(problem, name, value)
    problem.save(update_fields=list(columns))


def _record(
    problem: Problem, action: ProblemChange.Action, user: Any, now: datetime, detail: str = ""
) -> None:
    ProblemChange.objects.create(problem=problem, user=user, changed_at=now, action=action, detail=detail)
    # The history is deleted with the problem. The names of these actions are the same in both.
    record_event(Action(action), user=user, subject=problem, detail=detail)


def _mute_text(until: datetime | None, rate: int | None) -> str:
    if until is not None:
        return f"{until:%Y-%m-%d %H:%M} UTC"
    return "" if rate is None else f"{rate:,} / h"
