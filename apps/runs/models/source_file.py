"""Source files: what a service has read, and what a run is reading."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from apps.runs.models.run import Run
from apps.services.models import Service


class SourceFileQuerySet(models.QuerySet["SourceFile"]):
    def claimed_by_run(self, run: Run) -> Self:
        return self.filter(claimed_by=run)

    def with_claims(self, run: Run) -> Self:
        """Adds `is_busy`: whether another run than `run` is reading the file."""
        others = Run.objects.running().filter(pk=OuterRef("claimed_by_id")).exclude(pk=run.pk)
        return self.annotate(is_busy=Exists(others))

    def record_read(self, run: Run) -> None:
        """Records that `run` has read the files that it claimed; the caller decides that it succeeded."""
        is_action_due = bool(run.service.source_options.get("after"))
        self.claimed_by_run(run).update(read_version=F("claimed_version"), is_action_due=is_action_due)


class SourceFile(models.Model):
    """A file of the source of a service that a successful run has read, or that a run has claimed.

    A claim counts as long as its run is running, so that a failed or lost run releases its files.
    """

    service = models.ForeignKey(
        Service, models.CASCADE, related_name="source_files", db_index=False, verbose_name=_("service")
    )
    # Digest of the folder's address and the name, 32 hexadecimal digits.
    key = models.CharField(max_length=32)
    # Path below the folder of the connection.
    name = models.TextField(_("name"))

    # Size and time, or the ETag, of what a successful run read last; empty if none did.
    read_version = models.CharField(max_length=200, blank=True)
    # Whether the file is to be moved or deleted.
    is_action_due = models.BooleanField(default=False)
    # No constraint: a claim of a deleted run does not count either.
    claimed_by = models.ForeignKey(
        Run, models.DO_NOTHING, related_name="+", null=True, db_constraint=False, db_index=False
    )
    claimed_version = models.CharField(max_length=200, blank=True)
    # When the folder contained it last, to a day.
    listed_at = models.DateTimeField()

    # Set by with_claims().
    is_busy: bool

    objects = SourceFileQuerySet.as_manager()

    class Meta:
        verbose_name = _("source file")
        verbose_name_plural = _("source files")
        constraints = [
            models.UniqueConstraint(fields=["service", "key"], name="source_file_once"),
        ]
        indexes = [
            # The end of a run: WHERE claimed_by_id = ….
            models.Index(fields=["claimed_by"], name="source_file_claimed", condition=~Q(claimed_by=None)),
            # Files that are gone: WHERE service_id = … AND listed_at < ….
            models.Index(fields=["service", "listed_at"], name="source_file_listed"),
        ]

    def __str__(self) -> str:
        return self.name
