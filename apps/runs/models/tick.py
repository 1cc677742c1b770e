"""Last run of each housekeeping job."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Tick(models.Model):
    """Last run of a housekeeping job, with its counts."""

    name = models.CharField(_("job"), max_length=50, primary_key=True)
    ticked_at = models.DateTimeField(_("last run"), db_default=Now())
    outcome = models.JSONField(_("result"), default=dict)

    class Meta:
        verbose_name = _("tick")
        verbose_name_plural = _("ticks")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def is_fresh(cls, name: str, age: timedelta) -> bool:
        """Whether the job `name` ran less than `age` ago, by the clock of the database."""
        return cls.objects.filter(name=name, ticked_at__gt=Now() - age, ticked_at__lte=Now()).exists()

    @classmethod
    def note(cls, name: str, **outcome: Any) -> None:
        """Records that the job `name` has just run, with these counts."""
        cls.objects.update_or_create(name=name, defaults={"ticked_at": Now(), "outcome": outcome})
