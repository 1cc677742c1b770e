"""Runs in responses, and the request that starts a run."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.api.serializers.fields import BooleanField, SingleChoiceField, StrictSerializer, TimestampField
from apps.runs.models import Payload, Run


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run; `id` is the run number."""

    service = serializers.SlugField(source="service.slug")
    started_by = serializers.CharField(
        source="started_by.username",
        default=None,
        allow_null=True,
        help_text="User name; null = the schedule.",
    )
    retry_of = serializers.IntegerField(
        source="retry_of_id", allow_null=True, help_text="Number of the run that this one repeats."
    )
    queued_at = TimestampField()
    started_at = TimestampField(allow_null=True)
    finished_at = TimestampField(allow_null=True)
    is_complete = serializers.BooleanField(help_text="Whether the log is closed and no line is missing.")
    log_url = serializers.HyperlinkedIdentityField("api:run-log")
    payloads_url = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            "id",
            "service",
            "status",
            "trigger",
            "retry_of",
            "started_by",
            "queued_at",
            "started_at",
            "finished_at",
            "pulled_count",
            "pushed_count",
            "refused_count",
            "warning_count",
            "error_count",
            "line_count",
            "is_complete",
            "lost_line_count",
            "error",
            "log_url",
            "payloads_url",
        )
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.URI)
    def get_payloads_url(self, run: Run) -> str:
        return f"{reverse('api:payload-list', request=self.context['request'])}?run={run.pk}"


class OptionsField(serializers.DictField):
    """Options of a single run; apps.services.definition.options validates them."""


class StartSerializer(StrictSerializer):
    """Request that starts a run."""

    store = serializers.ListField(
        child=SingleChoiceField(Payload.Kind.choices),
        required=False,
        default=list,
        help_text="Kinds of payload to store.",
    )
    dry_run = BooleanField(required=False, default=False, help_text="Pull and run the script, push nothing.")
    options = OptionsField(
        required=False,
        default=dict,
        help_text="Options for this run only.",
    )

    def validate_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Refuses text that databases cannot store: NUL and lone surrogates."""
        text = json.dumps(options, ensure_ascii=False).replace("\\\\", "")
        if "\\u0000" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise serializers.ValidationError(
                _("Invalid characters (NUL or half surrogate pairs); remove them.")
            )
        return options
