"""Deliveries of alerts."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from apps.alerts.models import Delivery
from apps.api.serializers.fields import TimestampField


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """A message to one channel."""

    channel = serializers.CharField(source="channel_name", help_text=_("Name of the channel."))
    key = serializers.UUIDField(help_text=_("As in `webhook-id` and Message-ID."))
    reference = serializers.CharField(help_text=_("What the message is about, such as `incident 17`."))
    last_error = serializers.CharField(help_text=_("Error of the last attempt; empty if it succeeded."))
    created_at = TimestampField()
    next_attempt_at = TimestampField(allow_null=True, help_text=_("Null once it is sent or given up."))
    sent_at = TimestampField(allow_null=True)

    class Meta:
        model = Delivery
        fields = (
            *("id", "key", "channel", "reference", "subject", "status", "attempt_count", "last_error"),
            *("created_at", "next_attempt_at", "sent_at"),
        )
        read_only_fields = fields
