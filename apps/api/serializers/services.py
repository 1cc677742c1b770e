"""Services in responses."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.api.serializers.fields import TimestampField
from apps.services.models import Service


class ServiceSerializer(serializers.ModelSerializer[Service]):
    """A service, without addresses and secrets of its connections."""

    source = serializers.CharField(  # type: ignore[assignment]
        source="source_connection.name",
        allow_null=True,
        help_text="Name of the source connection; null = the service is reported.",
    )
    destination = serializers.CharField(
        source="destination_connection.name",
        allow_null=True,
        help_text="Name of the destination connection; null = the service is reported.",
    )
    next_run_at = TimestampField(allow_null=True, help_text="Next scheduled time; null = none.")
    url = serializers.HyperlinkedIdentityField("api:service-detail", lookup_field="slug")
    runs_url = serializers.SerializerMethodField()

    class Meta:
        model = Service
        fields = (
            "slug",
            "name",
            "kind",
            "source",
            "destination",
            "schedule",
            "timezone",
            "is_active",
            "next_run_at",
            "max_attempts",
            "timeout_seconds",
            "url",
            "runs_url",
        )
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.URI)
    def get_runs_url(self, service: Service) -> str:
        return f"{reverse('api:run-list', request=self.context['request'])}?service={service.slug}"
