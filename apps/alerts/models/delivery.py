"""Deliveries: the outbox of messages to channels, and every attempt to send one."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.db import models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext_lazy as _

from apps.alerts.models.channel import Channel
from apps.alerts.models.incident import Incident
from apps.services.user_access import hidden_service_ids


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def pending(self) -> Self:
        return self.filter(status=Delivery.Status.PENDING)

    def visible_to(self, user: Any) -> Self:
        """Deliveries of tests and of incidents that `user` may see; all, if no service is hidden from the user."""
        if user.has_perm("services.view_service") and not hidden_service_ids(user):
            return self
        return self.about(Incident.objects.visible_to(user))

    def about(self, incidents: models.QuerySet[Incident]) -> Self:
        """Deliveries about these incidents, and of tests."""
        reference = Concat(
            Value("incident "), Cast("pk", models.TextField()), output_field=models.TextField()
        )
        names = incidents.annotate(name=reference).values("name")
        return self.filter(Q(reference="test") | Q(reference__in=names))

    def due(self, now: datetime) -> Self:
        return self.pending().filter(next_attempt_at__lte=now)


class Delivery(models.Model):
    """A message to one channel, written with the event that it is about, and sent afterwards."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")  # The next attempt is at `next_attempt_at`.
        SENT = "sent", _("Sent")  # The channel has accepted it.
        FAILED = "failed", _("Failed")  # Given up; `last_error` says why.
        SUPPRESSED = "suppressed", _("Suppressed")  # Never to be sent; `last_error` says why.

    # Identifies the message for its recipient: `webhook-id`, and part of Message-ID.
    key = models.UUIDField(_("idempotency key"), default=uuid.uuid4)
    channel = models.ForeignKey(
        Channel,
        models.SET_NULL,
        related_name="deliveries",
        null=True,
        db_index=False,
        verbose_name=_("channel"),
    )
    # Kept when the channel is deleted.
    channel_name = models.CharField(_("channel"), max_length=100)
    # What the message is about, such as `incident 17`.
    reference = models.CharField(_("reference"), max_length=100, blank=True)

    subject = models.CharField(_("subject"), max_length=200)
    text = models.TextField(_("text"))
    html = models.TextField(_("HTML"), blank=True)
    # Body of a webhook.
    payload = models.JSONField(_("payload"), default=dict)

    # Addresses that have not accepted the mail, while others have; empty = all of the channel.
    left = models.JSONField(default=list, blank=True)

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.PENDING)
    attempt_count = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.TextField(_("error"), blank=True)

    created_at = models.DateTimeField(_("created"))
    # While an attempt is running, the time at which another worker may try again.
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True)
    sent_at = models.DateTimeField(_("sent"), null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["channel", "key"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "sent", "failed", "suppressed"]),
                name="delivery_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="pending") | Q(next_attempt_at__isnull=False),
                name="delivery_pending_is_scheduled",
            ),
        ]
        indexes = [
            # The outbox: WHERE status = 'pending' AND next_attempt_at <= … ORDER BY next_attempt_at.
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(status="pending")),
            # The list, and pruning: ORDER BY created_at DESC, id DESC.
            models.Index(fields=["-created_at", "-id"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return self.subject

    def claim(self, now: datetime, lease: timedelta) -> bool:
        """Claims the next attempt for this process until the lease ends; False if another process has it."""
        claimed = (
            Delivery.objects.due(now)
            .filter(pk=self.pk)
            .update(next_attempt_at=now + lease, attempt_count=F("attempt_count") + 1)
        )
        if claimed:
            self.attempt_count += 1
            self.next_attempt_at = now + lease
        return bool(claimed)

    def record_success(self, now: datetime) -> None:
        with transaction.atomic():
            self.attempts.create(attempted_at=now)
            self._finish(status=self.Status.SENT, sent_at=now, next_attempt_at=None, last_error="")

    def record_failure(self, now: datetime, error: str, *, next_attempt_at: datetime | None) -> None:
        """Records a failed attempt, and what is `left`; without a next one the delivery has failed."""
        status = self.Status.PENDING if next_attempt_at else self.Status.FAILED
        with transaction.atomic():
            self.attempts.create(attempted_at=now, error=error)
            self._finish(status=status, next_attempt_at=next_attempt_at, last_error=error, left=self.left)

    def suppress(self, reason: str) -> None:
        self._finish(status=self.Status.SUPPRESSED, next_attempt_at=None, last_error=reason)

    def _finish(self, **columns: object) -> None:
        for name, value in columns.items():
            setattr(self, name, value)
        self.save(update_fields=list(columns))


class DeliveryAttempt(models.Model):
    """One attempt to send a delivery."""

    delivery = models.ForeignKey(
        Delivery, models.CASCADE, related_name="attempts", verbose_name=_("delivery")
    )
    attempted_at = models.DateTimeField(_("attempted"))
    # Empty: the channel has accepted the message.
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return self.error or "sent"
