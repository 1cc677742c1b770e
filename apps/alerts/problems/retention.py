"""Retention: deletes problems whose occurrences are all deleted."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from apps.alerts.models import Problem
from apps.runs.models import RunProblem

# Deleted at once; the rest waits for the next run.
_MAX_PROBLEMS = 10_000


def prune_problems(older_than: datetime) -> int:
    """Deletes problems last seen before `older_than` whose runs are deleted; returns their number.

    Problems that are muted, or have an assignee or a note, stay: users count on them.
    """
    occurrences = RunProblem.objects.filter(
        service_id=OuterRef("service_id"), fingerprint=OuterRef("fingerprint")
    )
    old = Problem.objects.filter(
        ~Exists(occurrences),
        ~Q(state=Problem.State.MUTED),
        last_seen_at__lt=older_than,
        assignee=None,
        note="",
    )
    numbers = list(old.order_by("last_seen_at").values_list("pk", flat=True)[:_MAX_PROBLEMS])
    deleted, _by_model = Problem.objects.filter(pk__in=numbers, last_seen_at__lt=Now()).delete()
    return len(numbers) if deleted else 0
