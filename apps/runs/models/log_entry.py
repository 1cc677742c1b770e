"""Lines of the logs."""

from __future__ import annotations

import logging

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.runs.models.run import Run


class Level(models.IntegerChoices):
    """Levels of the logging module; critical is stored as error."""

    DEBUG = logging.DEBUG, _("debug")
    INFO = logging.INFO, _("info")
    WARNING = logging.WARNING, _("warning")
    ERROR = logging.ERROR, _("error")

    @property
    def slug(self) -> str:
        """Name in the API: "debug", "info", "warning", "error"."""
        return self.name.lower()


class Step(models.IntegerChoices):
    """Step of a run that a line belongs to, in order."""

    START = 1, _("start")
    PULL = 2, _("pull")
    SCRIPT = 3, _("script")
    PUSH = 4, _("push")
    FINISH = 5, _("finish")

    @property
    def slug(self) -> str:
        """Name in the API: "start", "pull", "script", "push", "finish"."""
        return self.name.lower()


class LogEntry(models.Model):
    """One line of the log of a run; `sequence` counts from 1. A gap is a line that was lost after it was numbered."""

    pk = models.CompositePrimaryKey("run_id", "sequence")
    # No database constraint: it would look up the run for each line, and retention deletes both.
    run = models.ForeignKey(
        Run, models.DO_NOTHING, related_name="log_entries", db_constraint=False, db_index=False
    )
    sequence = models.PositiveBigIntegerField()

    logged_at = models.DateTimeField()
    level = models.SmallIntegerField(choices=Level)
    step = models.SmallIntegerField(choices=Step)
    message = models.TextField()

    class Meta:
        verbose_name = _("log line")
        verbose_name_plural = _("log lines")

    def __str__(self) -> str:
        return f"{self.run_id}/{self.sequence}"
