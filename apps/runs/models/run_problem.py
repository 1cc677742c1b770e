"""Occurrences of problems: warnings and errors of a run, grouped by fingerprint."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from apps.runs.models.log_entry import Level
from apps.runs.models.run import Run
from apps.services.models import Service

# Fingerprint of the row that counts the lines beyond the limit of a run.
OTHER = ""


class RunProblemQuerySet(models.QuerySet["RunProblem"]):
    def visible_to(self, user: Any) -> Self:
        """Occurrences in the runs that `user` may see."""
        return self.filter(Exists(Run.objects.visible_to(user).filter(pk=OuterRef("run_id"))))

    def grouped(self) -> Self:
        """Without the lines that belong to no problem."""
        return self.exclude(fingerprint=OTHER)

    def other(self) -> Self:
        """The lines that belong to no problem."""
        return self.filter(fingerprint=OTHER)

    def unnoted(self) -> Self:
        return self.filter(is_noted=False)


class RunProblem(models.Model):
    """The lines of one run that have the same fingerprint; written with these lines, in one transaction.

    A run has at most MAX_PROBLEMS of them. Lines with further fingerprints are counted in one row, whose fingerprint
    is empty.
    """

    MAX_PROBLEMS = 100

    pk = models.CompositePrimaryKey("run_id", "fingerprint")
    # No constraints: see LogEntry.
    run = models.ForeignKey(
        Run, models.DO_NOTHING, related_name="problems", db_constraint=False, db_index=False
    )
    fingerprint = models.CharField(max_length=24, blank=True)
    service = models.ForeignKey(
        Service, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )

    # The highest level of the lines.
    level = models.SmallIntegerField(choices=Level)
    count = models.PositiveBigIntegerField()
    first_sequence = models.PositiveBigIntegerField()
    last_sequence = models.PositiveBigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    # The latest line, on one line.
    message = models.TextField()

    # Whether the problem of the service knows of these lines.
    is_noted = models.BooleanField(default=False)

    objects = RunProblemQuerySet.as_manager()

    class Meta:
        verbose_name = _("occurrence of a problem")
        verbose_name_plural = _("occurrences of problems")
        indexes = [
            # The runs of a problem: WHERE service = … AND fingerprint = … AND last_at > … ORDER BY last_at DESC.
            models.Index(fields=["service", "fingerprint", "last_at"], name="run_problem_service"),
            # What the problems do not know yet: WHERE NOT is_noted.
            models.Index(fields=["run"], name="run_problem_unnoted", condition=Q(is_noted=False)),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.message}"
