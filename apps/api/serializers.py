"""Serializers of responses and requests. The names are part of the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.api.fields import (
    BooleanField,
    MultipleChoiceField,
    SingleChoiceField,
    TimestampField,
    WholeNumberField,
    timestamp,
    unknown_key_message,
)
from apps.runs.log.reading import MAX_LINES, Line, LineFilter
from apps.runs.models import Level, Payload, Run, Step
from apps.services.definition.options import MAX_PAGE_SIZE
from apps.services.models import Service

LEVELS = {level.slug: level for level in Level}
STEPS = {step.slug: step for step in Step}
LEVEL_NAMES = tuple(LEVELS)
STEP_NAMES = tuple(STEPS)
PAYLOAD_STATES = ("stored", "expired", "deleted", "lost")


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
    next_run_at = TimestampField(allow_null=True, help_text="Next slot of the schedule; null = none.")
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


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run; `id` is the run number."""

    service = serializers.SlugField(source="service.slug")
    started_by = serializers.CharField(
        source="started_by.username",
        default=None,
        allow_null=True,
        help_text="User name; null = the schedule.",
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
            "started_by",
            "queued_at",
            "started_at",
            "finished_at",
            "pulled_count",
            "pushed_count",
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


class LineSerializer(serializers.Serializer[Line]):
    """One log line. Written by hand, because a response has up to 5,000."""

    sequence = serializers.IntegerField()
    logged_at = TimestampField()
    level = serializers.ChoiceField(LEVEL_NAMES)
    step = serializers.ChoiceField(STEP_NAMES)
    message = serializers.CharField()
    payloads = LinePayloadSerializer(many=True)

    def to_representation(self, line: Line) -> dict[str, Any]:
        return {
            "sequence": line.sequence,
            "logged_at": timestamp(line.logged_at),
            "level": line.level.slug,
            "step": line.step.slug,
            "message": line.message,
            "payloads": self.fields["payloads"].to_representation(line.payloads),
        }


class LogPageSerializer(serializers.Serializer[Any]):
    """A page of a log, and where and when to continue."""

    lines = LineSerializer(many=True)
    next_after = serializers.IntegerField(help_text="Value of `after` for the next request.")
    last_sequence = serializers.IntegerField(
        help_text="Number of the latest line; while `next_after` is below it, more lines are available."
    )
    status = serializers.ChoiceField(Run.Status.choices)
    is_complete = serializers.BooleanField()
    poll_after = serializers.IntegerField(
        allow_null=True, help_text="Seconds until the next request; null = no more lines will come."
    )


class LineFilterSerializer(serializers.Serializer[Any]):
    """Filter of lines."""

    level = MultipleChoiceField(LEVELS)
    step = MultipleChoiceField(STEPS)
    q = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=500, trim_whitespace=False
    )


class LogQuerySerializer(LineFilterSerializer):
    """Filter of lines, position and limit."""

    after = WholeNumberField(least=0, required=False, default=0)
    limit = WholeNumberField(least=1, most=MAX_LINES, required=False, default=500)


def line_filter(given: Mapping[str, Any]) -> LineFilter:
    """The validated data of LineFilterSerializer."""
    return LineFilter(levels=given["level"], steps=given["step"], text=given["q"])


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown keys: nothing is ignored in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = {key: [unknown_key_message(self.fields)] for key in data if key not in self.fields}
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "page_size": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_PAGE_SIZE},
            "max_attempts": {"type": ["integer", "null"], "minimum": 1, "maximum": 20},
            "record_id": {
                "type": ["string", "integer", "null"],
                "maxLength": 2000,
                "pattern": r"^[^\x00-\x1f\x7f]*$",
                "description": "Only the record with this id.",
            },
        },
        "additionalProperties": False,
    }
)
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
        help_text="Options for this run only: page_size, max_attempts, record_id.",
    )

    def validate_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Refuses text that no database stores: NUL and half surrogate pairs."""
        text = json.dumps(options, ensure_ascii=False).replace("\\\\", "")
        if "\\u0000" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise serializers.ValidationError(
                _("Invalid characters (NUL or half surrogate pairs); remove them.")
            )
        return options


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField(help_text="URI of the kind of problem; about:blank = see the status.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Errors by field or parameter.",
    )
    expected_sequence = serializers.IntegerField(required=False, help_text="Number of the next line.")
    run_status = serializers.CharField(required=False, help_text="Status of the run.")
