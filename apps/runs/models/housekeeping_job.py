"""Housekeeping jobs: when each ran last, and with which result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class HousekeepingJob(models.Model):
    """A housekeeping job, such as the scheduler, with time and counts of its last run."""

    name = models.CharField(_("job"), max_length=50, primary_key=True)
    last_run_at = models.DateTimeField(_("last run"), db_default=Now())
    outcome = models.JSONField(_("result"), default=dict)

    class Meta:
        verbose_name = _("housekeeping job")
        verbose_name_plural = _("housekeeping jobs")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def has_run_within(cls, name: str, age: timedelta) -> bool:
        """Whether the job `name` ran less than `age` ago, by the clock of the database."""
        return cls.objects.filter(name=name, last_run_at__gt=Now() - age, last_run_at__lte=Now()).exists()

    @classmethod
    def record_run(cls, name: str, **outcome: Any) -> None:
        """Records that the job `name` has just run, with these counts."""
        cls.objects.update_or_create(name=name, defaults={"last_run_at": Now(), "outcome": outcome})
