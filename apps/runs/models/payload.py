"""Stored payloads, and the states from upload to deletion."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.runs.models.run import Run
from apps.services.models import Service

_STILL_THERE = "The object of the payload may still be in the payload store; let it expire first."


class PayloadQuerySet(models.QuerySet["Payload"]):
    def visible_to(self, user: Any) -> Self:
        """Payloads of the services that `user` may see.

        The services are listed one by one: only then does the planner know how rare their payloads are.
        """
        if user.is_active and user.is_superuser:
            # See RunQuerySet.
            return self
        return self.filter(service__in=list(Service.objects.visible_to(user).values_list("pk", flat=True)))

    def listed(self) -> Self:
        """Payloads that the API and the console show: all except incomplete uploads."""
        return self.exclude(status=Payload.Status.PENDING)

    def with_state(self) -> Self:
        """Adds `state` by the clock of the database: stored, expired, deleted or lost."""
        return self.annotate(
            state=Case(
                When(status=Payload.Status.DELETED, then=Value("deleted")),
                When(status=Payload.Status.LOST, then=Value("lost")),
                # An incomplete upload; what exists of it is being deleted.
                When(status=Payload.Status.DELETING, sha256="", then=Value("lost")),
                When(Q(status=Payload.Status.DELETING) | Q(expires_at__lte=Now()), then=Value("expired")),
                default=Value("stored"),
                output_field=models.CharField(),
            )
        )

    def expired(self) -> Self:
        """Payloads that the clean-up must delete now, oldest first."""
        return self.filter(
            Q(next_delete_at=None) | Q(next_delete_at__lte=Now()),
            status__in=(Payload.Status.STORED, Payload.Status.DELETING),
            expires_at__lte=Now(),
        ).order_by("expires_at")

    def with_object(self) -> Self:
        """Payloads whose object is in the store, or may be."""
        return self.exclude(status__in=Payload.WITHOUT_OBJECT)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Raises ProtectedError while an object may be in the store: only the row knows about it."""
        remaining: set[models.Model] = set(self.with_object()[:100])
        if remaining:
            raise models.ProtectedError(_STILL_THERE, remaining)
        return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined] # As Django marks its own, for templates.
    delete.queryset_only = True  # type: ignore[attr-defined]


class Payload(models.Model):
    """A file that passed through a run: a pulled page, input or output of the script, a push or its response."""

    class Kind(models.TextChoices):
        PULL = "pull", _("pull")  # As the source sent it.
        SCRIPT = "script", _("script")  # Input or output of the script.
        PUSH = "push", _("push")  # A request to the destination, or its response.

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")  # The row exists, the object perhaps.
        STORED = "stored", _("Stored")  # The object is complete.
        DELETING = "deleting", _("Deleting")  # Unreadable; the object is being deleted.
        DELETED = "deleted", _("Deleted")  # The object is deleted; the row is the record of it.
        LOST = "lost", _("Lost")  # The object is missing.

    WITHOUT_OBJECT = (Status.DELETED, Status.LOST)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    run = models.ForeignKey(Run, models.PROTECT, related_name="payloads", verbose_name=_("run"))
    # Copy of the service of the run, so that lists need no join.
    service = models.ForeignKey(
        Service,
        models.PROTECT,
        related_name="+",
        # The first column of an index below.
        db_index=False,
        editable=False,
        verbose_name=_("service"),
    )
    # Log line at which the file arose.
    sequence = models.PositiveBigIntegerField(_("line"), null=True, blank=True)

    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    name = models.CharField(_("name"), max_length=255)
    content_type = models.CharField(_("content type"), max_length=100)
    # Key of the object in the store, created by the server.
    key = models.CharField(max_length=200, unique=True)

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.PENDING)
    size = models.PositiveBigIntegerField(_("size (bytes)"), null=True, blank=True)
    # Encoding of the object: "" or "zstd". Size and digest are those of the original.
    encoding = models.CharField(max_length=10, blank=True)
    sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True)

    created_at = models.DateTimeField(_("created"), db_default=Now())
    # End of the run plus retention; null while the run is open.
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)

    # Failed deletions: attempts, reason, and time of the next attempt.
    delete_attempts = models.PositiveIntegerField(_("attempts to delete"), default=0)
    delete_error = models.CharField(_("last deletion error"), max_length=500, blank=True)
    next_delete_at = models.DateTimeField(null=True, blank=True)

    # Set by with_state().
    state: str

    objects = PayloadQuerySet.as_manager()

    class Meta:
        verbose_name = _("payload")
        verbose_name_plural = _("payloads")
        permissions = [("download_payload", "Can download payloads")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="stored") | Q(size__isnull=False) & ~Q(sha256=""),
                name="payload_stored_is_measured",
            ),
            models.CheckConstraint(
                condition=~Q(status="deleted") | Q(deleted_at__isnull=False), name="payload_deleted_has_time"
            ),
        ]
        indexes = [
            # The log feed: WHERE run_id = … AND sequence BETWEEN … AND ….
            models.Index(fields=["run", "sequence"], name="payload_run_sequence"),
            # The payloads of a record: WHERE run_id = … AND name >= … AND name < ….
            models.Index(fields=["run", "name"], name="payload_run_name"),
            # The list of the API, newest first.
            models.Index(fields=["-created_at", "-id"], name="payload_latest"),
            # The same for users who see few services; migration 0005 explains how the planner chooses.
            models.Index(fields=["service", "-created_at", "-id"], name="payload_service_latest"),
            # The search: WHERE sha256 BETWEEN … AND … ORDER BY sha256, created_at DESC. Not partial: almost every
            # payload has a digest, and SQLite would not use the index for a parameter.
            models.Index(fields=["sha256", "-created_at"], name="payload_sha256"),
            # The clean-up: WHERE status IN (…) AND expires_at <= now ORDER BY expires_at LIMIT 1000.
            models.Index(
                fields=["expires_at"], name="payload_expiry", condition=Q(status__in=["stored", "deleting"])
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises ProtectedError while an object may be in the store: only the row knows about it."""
        if Payload.objects.with_object().filter(pk=self.pk).exists():
            raise models.ProtectedError(_STILL_THERE, {self})
        return super().delete(*args, **kwargs)
