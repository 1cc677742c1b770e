"""State of connections that all workers share."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.services.models.connection import Connection


class ConnectionStateQuerySet(models.QuerySet["ConnectionState"]):
    def reserve_request(self, connection_id: int, interval: timedelta) -> timedelta:
        """Reserves the next free moment for a request, `interval` after the last one that any worker reserved.

        Returns the time until then. The clock is that of the database, which all workers share.
        """
        row = self.filter(pk=connection_id)
        while True:
            found = row.annotate(now=Now()).values_list("next_request_at", "now").first()
            if found is None:
                self.bulk_create([ConnectionState(connection_id=connection_id)], ignore_conflicts=True)
                continue
            next_request_at, now = found
            reserved = max(next_request_at or now, now)
            # The row count tells whether another worker was faster.
            if row.filter(next_request_at=next_request_at).update(next_request_at=reserved + interval):
                return reserved - now

    def tokens_of(self, connection_id: int) -> str:
        """The encrypted tokens, empty if there are none."""
        return self.filter(pk=connection_id).values_list("tokens_encrypted", flat=True).first() or ""

    def start_renewal(self, connection_id: int, duration: timedelta) -> datetime | None:
        """Reserves the renewal of the tokens for `duration`: the end, or None if another worker renews them."""
        self.bulk_create([ConnectionState(connection_id=connection_id)], ignore_conflicts=True)
        row = self.filter(pk=connection_id)
        renewing_until, now = row.annotate(now=Now()).values_list("renewing_until", "now").get()
        if renewing_until is not None and renewing_until > now:
            return None
        end: datetime = now + duration
        return end if row.filter(renewing_until=renewing_until).update(renewing_until=end) else None

    def end_renewal(self, connection_id: int, end: datetime) -> None:
        """Ends the renewal that was reserved until `end`, without new tokens."""
        self.filter(pk=connection_id, renewing_until=end).update(renewing_until=None)

    def save_tokens(self, connection_id: int, encrypted: str) -> None:
        """Saves new tokens and ends their renewal."""
        self.filter(pk=connection_id).update(tokens_encrypted=encrypted, renewing_until=None)


class ConnectionState(models.Model):
    """What the workers that use a connection share about it."""

    connection = models.OneToOneField(
        Connection, models.CASCADE, primary_key=True, related_name="state", verbose_name=_("connection")
    )

    # The earliest moment of the next request, for connections that limit their rate.
    next_request_at = models.DateTimeField(_("next request at"), null=True, blank=True, editable=False)

    # Access token and refresh token of OAuth 2; until when a worker renews them.
    tokens_encrypted = models.TextField(_("tokens"), blank=True, editable=False)
    renewing_until = models.DateTimeField(_("renewing until"), null=True, blank=True, editable=False)

    objects = ConnectionStateQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection state")
        verbose_name_plural = _("connection states")
        # Only workers use it.
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.connection_id)
