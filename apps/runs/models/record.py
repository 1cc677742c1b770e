"""Records: what became of each record in each run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import Exists, Min, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from apps.runs.models.log_entry import Step
from apps.runs.models.run import Run
from apps.services.models import Service


class RecordQuerySet(models.QuerySet["Record"]):
    def visible_to(self, user: Any) -> Self:
        """Records of the runs that `user` may see."""
        if user.is_active and user.is_superuser:
            # See RunQuerySet.
            return self
        return self.filter(Exists(Run.objects.visible_to(user).filter(pk=OuterRef("run_id"))))

    def latest_first(self) -> Self:
        return self.order_by("-run_id", "-sequence", "-page", "key")

    def oldest_first(self) -> Self:
        return self.order_by("run_id", "sequence", "page", "key")

    def with_key(self, key: str) -> Self:
        """Records with this key; a trailing `*` finds every key that begins with the text before it."""
        if not key.endswith("*"):
            return self.filter(key=key)
        prefix = key[:-1]
        # A range and not LIKE, which could not use the index on SQLite.
        following = _following(prefix)
        return self.filter(key__gte=prefix, **({"key__lt": following} if following else {}))

    def recorded_since(self, cutoff: datetime) -> Self:
        return self.filter(recorded_at__gte=cutoff)

    def with_resolution(self) -> Self:
        """Adds `resolved_by`: the first later run of the same service that pushed a record which this run did not
        push; null if there is none.
        """
        later = (
            Record.objects.filter(
                key=OuterRef("key"),
                run_id__gt=OuterRef("run_id"),
                run__service=OuterRef("run__service"),
                outcome=Record.Outcome.PUSHED,
            )
            .order_by()
            .values("key")
            .annotate(first=Min("run_id"))
            .values("first")
        )
        unresolved = Q(outcome__in=Record.UNRESOLVED)
        return self.annotate(
            resolved_by=models.Case(
                models.When(unresolved, then=models.Subquery(later)), output_field=models.BigIntegerField()
            )
        )


class Record(models.Model):
    """What became of one record in one run; of several outcomes the one with the lowest number counts."""

    class Outcome(models.IntegerChoices):
        REFUSED = 1, _("Refused")  # The destination refused it.
        FAILED = 2, _("Failed")  # The run ended before it was pushed.
        PUSHED = 3, _("Pushed")  # The destination accepted it.
        DROPPED = 4, _("Dropped")  # The script left it out.
        SKIPPED = 5, _("Skipped")  # It was accepted before.
        PULLED = 6, _("Pulled")  # Nothing yet: a dry run, or the outcome is unknown.

        @property
        def slug(self) -> str:
            """Name in the API: "refused", "failed" …"""
            return self.name.lower()

    # Outcomes that a later run may resolve.
    UNRESOLVED = (Outcome.REFUSED, Outcome.FAILED, Outcome.PULLED)

    pk = models.CompositePrimaryKey("key", "run_id")
    # The order of the columns saves padding. No constraint: see LogEntry.
    run = models.ForeignKey(
        Run, models.DO_NOTHING, related_name="records", db_constraint=False, db_index=False
    )
    recorded_at = models.DateTimeField()
    # Log line of the decision.
    sequence = models.PositiveIntegerField()
    page = models.PositiveIntegerField()
    # 0 if the record was in no batch.
    batch = models.PositiveIntegerField()
    outcome = models.SmallIntegerField(choices=Outcome)
    step = models.SmallIntegerField(choices=Step)
    key = models.CharField(max_length=200)
    # Reason of a refusal or failure.
    message = models.TextField(blank=True)

    # Set by with_resolution().
    resolved_by: int | None

    objects = RecordQuerySet.as_manager()

    class Meta:
        verbose_name = _("record")
        verbose_name_plural = _("records")
        indexes = [
            # The records of a run, and of all runs, newest first: ORDER BY run_id DESC, sequence DESC, page DESC.
            # One line may decide on a million records, such as that of a file; with the page, few are sorted by key.
            models.Index(fields=["run", "sequence", "page"], name="record_run_sequence"),
            # The same by outcome; most records are pushed and found without it.
            models.Index(
                fields=["run", "outcome", "sequence", "page"],
                name="record_run_outcome",
                condition=~Q(outcome=3),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.run_id})"


class RecordSelection(models.Model):
    """The records that a run is limited to, by their keys."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="selection")
    keys = models.JSONField()

    class Meta:
        verbose_name = _("record selection")
        verbose_name_plural = _("record selections")

    def __str__(self) -> str:
        return f"{self.run_id}"


class AcceptedContent(models.Model):
    """Digest of what the destination of a service last accepted for a key."""

    pk = models.CompositePrimaryKey("service_id", "key")
    # No constraint: see LogEntry.
    service = models.ForeignKey(
        Service, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    key = models.CharField(max_length=200)
    # BLAKE2b of the content, 32 hexadecimal digits.
    digest = models.CharField(max_length=32)

    class Meta:
        verbose_name = _("accepted content")
        verbose_name_plural = _("accepted contents")

    def __str__(self) -> str:
        return f"{self.service_id}/{self.key}"


def _following(prefix: str) -> str:
    """The first text after all texts that begin with `prefix`, in the order of code points; empty if there is none."""
    for end in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[end]) + 1
        if code <= 0x10FFFF:
            # Surrogates are not characters.
            return prefix[:end] + chr(0xE000 if code == 0xD800 else code)
    return ""
