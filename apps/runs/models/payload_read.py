"""Access log of payloads."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.runs.models.payload import Payload


class PayloadRead(models.Model):
    """One read of a payload: who, with which token, from where, and how it ended. Written before the first byte."""

    class Outcome(models.TextChoices):
        STARTED = "started", _("Started")  # Bytes are being sent, or the process died.
        COMPLETE = "complete", _("Complete")  # Everything was sent.
        BROKEN = "broken", _("Interrupted")  # The client disconnected, or the store failed.

    payload = models.ForeignKey(Payload, models.CASCADE, related_name="reads", verbose_name=_("payload"))
    # Without the index of the foreign key: one below begins with this column.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    # Name and prefix of the token; empty = a person in the console.
    token = models.CharField(_("token"), max_length=130, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)

    read_at = models.DateTimeField(_("read"), db_default=Now())
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome, default=Outcome.STARTED)
    byte_count = models.PositiveBigIntegerField(_("bytes"), default=0)

    class Meta:
        verbose_name = _("payload read")
        verbose_name_plural = _("payload reads")
        indexes = [
            # The access log of a payload, latest first.
            models.Index(fields=["payload", "-read_at"], name="payload_read_latest"),
            # The audit log, of all and of one person, newest first.
            models.Index(fields=["read_at", "id"], name="payload_read_audit"),
            models.Index(fields=["user", "read_at", "id"], name="payload_read_user"),
        ]

    def __str__(self) -> str:
        return f"{self.payload_id} {self.read_at}"
