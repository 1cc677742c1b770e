"""Payloads in responses."""

from __future__ import annotations

from rest_framework import serializers

from apps.api.serializers.fields import TimestampField
from apps.runs.models import Payload

PAYLOAD_STATES = ("stored", "expired", "deleted", "lost")


class PayloadSerializer(serializers.ModelSerializer[Payload]):
    """A stored file. It can be downloaded while its status is `stored`."""

    run = serializers.IntegerField(source="run_id")
    status = serializers.ChoiceField(PAYLOAD_STATES, source="state")
    created_at = TimestampField()
    expires_at = TimestampField(allow_null=True, help_text="Null while the run is open.")
    download_url = serializers.HyperlinkedIdentityField("api:payload-download")

    class Meta:
        model = Payload
        fields: tuple[str, ...] = (
            "id",
            "run",
            "kind",
            "name",
            "content_type",
            "size",
            "sha256",
            "created_at",
            "expires_at",
            "status",
            "download_url",
        )
        read_only_fields = fields


class LinePayloadSerializer(PayloadSerializer):
    """A file at its log line."""

    class Meta(PayloadSerializer.Meta):
        fields = ("id", "kind", "name", "size", "sha256", "status", "expires_at", "download_url")
        read_only_fields = fields
