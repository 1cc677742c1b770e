"""Problems of services, and the history of their changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.runs.models import Level, RunProblem
from apps.runs.models.run_problem import RunProblemQuerySet
from apps.services.models import Service
from apps.services.user_access import hidden_service_ids


class ProblemQuerySet(models.QuerySet["Problem"]):
    def visible_to(self, user: Any) -> Self:
        """Problems of the services whose runs `user` may see."""
        if user.is_active and user.is_superuser:
            return self
        if not user.is_active or not user.has_perms(("services.view_service", "runs.view_run")):
            return self.none()
        hidden = hidden_service_ids(user)
        return self.exclude(service__in=hidden) if hidden else self

    def open(self) -> Self:
        return self.filter(state=Problem.State.OPEN)

    def seen_since(self, cutoff: datetime) -> Self:
        return self.filter(last_seen_at__gte=cutoff)


class Problem(models.Model):
    """Warnings and errors of one service that have the same fingerprint."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")  # New or reopened, and not solved yet.
        MUTED = "muted", _("Muted")  # Known, and not to be shown until a time or above a rate.
        RESOLVED = "resolved", _("Resolved")  # Solved; recurrence opens it again.

    service = models.ForeignKey(
        Service, models.CASCADE, related_name="problems", db_index=False, verbose_name=_("service")
    )
    fingerprint = models.CharField(_("fingerprint"), max_length=24)
    title = models.CharField(_("title"), max_length=200)
    level = models.SmallIntegerField(_("level"), choices=Level)

    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    # A muted problem opens at this time, or as soon as an hour has more lines; without either, it stays muted.
    muted_until = models.DateTimeField(_("muted until"), null=True, blank=True)
    muted_rate = models.PositiveIntegerField(_("muted up to lines per hour"), null=True, blank=True)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        related_name="assigned_problems",
        null=True,
        blank=True,
        verbose_name=_("assignee"),
    )
    note = models.TextField(_("note"), blank=True, max_length=4000)

    first_seen_at = models.DateTimeField(_("first seen"))
    last_seen_at = models.DateTimeField(_("last seen"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    reopened_at = models.DateTimeField(_("reopened"), null=True, blank=True)

    objects = ProblemQuerySet.as_manager()

    class Meta:
        verbose_name = _("problem")
        verbose_name_plural = _("problems")
        constraints = [
            models.UniqueConstraint(fields=["service", "fingerprint"], name="problem_once_per_service"),
        ]
        indexes = [
            # The list: WHERE state = 'open' ORDER BY last_seen_at DESC, id DESC.
            models.Index(fields=["state", "last_seen_at", "id"], name="problem_state_seen"),
            # The list of all states, and pruning: WHERE last_seen_at < … ORDER BY last_seen_at.
            models.Index(fields=["last_seen_at", "id"], name="problem_seen"),
            # Muted problems whose time is over: WHERE muted_until <= now.
            models.Index(fields=["muted_until"], name="problem_muted", condition=Q(state="muted")),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN

    @property
    def is_reopened(self) -> bool:
        """Whether it recurred after it was resolved, and is still open."""
        return self.is_open and self.reopened_at is not None

    def occurrences(self) -> RunProblemQuerySet:
        """Its occurrences, one per run."""
        return RunProblem.objects.filter(service_id=self.service_id, fingerprint=self.fingerprint)


class ProblemChange(models.Model):
    """A change of a problem: what was done, when, and by whom."""

    class Action(models.TextChoices):
        REOPENED = "reopened", _("Reopened")  # By a user.
        RECURRED = "recurred", _("Reopened, because it recurred")
        MUTED = "muted", _("Muted")
        UNMUTED = "unmuted", _("Opened, because the mute has ended")
        RATE = "rate", _("Opened, because it occurred too often")
        RESOLVED = "resolved", _("Resolved")
        ASSIGNED = "assigned", _("Assigned")  # The detail is the user name; empty = to nobody.
        NOTED = "noted", _("Note changed")  # The detail is the new note.

    problem = models.ForeignKey(Problem, models.CASCADE, related_name="changes", db_index=False)
    # Null: Synclog itself, or a user who was deleted.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, related_name="+", null=True, blank=True
    )
    changed_at = models.DateTimeField()
    action = models.CharField(max_length=10, choices=Action)
    detail = models.TextField(blank=True)

    class Meta:
        verbose_name = _("change of a problem")
        verbose_name_plural = _("changes of problems")
        indexes = [
            # The history: WHERE problem = … ORDER BY changed_at DESC, id DESC.
            models.Index(fields=["problem", "changed_at", "id"], name="problem_change_history"),
        ]

    def __str__(self) -> str:
        return f"{self.problem_id}: {self.action}"
