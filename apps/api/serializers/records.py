"""Records in responses, and the request that sends records again."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.api.serializers.fields import BooleanField, SingleChoiceField, StrictSerializer, TimestampField
from apps.api.serializers.log import STEP_NAMES
from apps.api.serializers.payloads import LinePayloadSerializer
from apps.runs.execution.resync import MAX_KEYS
from apps.runs.models import Record, Step
from apps.runs.records.keys import key_text

OUTCOMES = {outcome.slug: outcome for outcome in Record.Outcome}
OUTCOME_NAMES = tuple(OUTCOMES)
# Of the model's PositiveIntegerField.
MAX_SEQUENCE = 2**31 - 1
KEY_REQUIRED = gettext_lazy("Write the key as text or as a number; it must not be empty.")
ORIGINS = ("stored", "source")


class RecordSerializer(serializers.ModelSerializer[Record]):
    """What became of a record in a run. The context has the `payloads` by record."""

    service = serializers.SlugField(source="run.service.slug")
    run = serializers.IntegerField(source="run_id", help_text="Number of the run.")
    outcome = serializers.SerializerMethodField()
    step = serializers.SerializerMethodField()
    message = serializers.CharField(help_text="Reason of a refusal or failure.")
    sequence = serializers.IntegerField(help_text="Log line of the decision.")
    recorded_at = TimestampField()
    resolved_by = serializers.IntegerField(
        allow_null=True, help_text="Number of the later run that pushed the record; null = none."
    )
    log_url = serializers.SerializerMethodField(help_text="The log line.")
    payloads = serializers.SerializerMethodField(help_text="The payloads that contain the record.")

    class Meta:
        model = Record
        fields = (
            "key",
            "service",
            "run",
            "outcome",
            "step",
            "message",
            "sequence",
            "recorded_at",
            "resolved_by",
            "log_url",
            "payloads",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(OUTCOME_NAMES))
    def get_outcome(self, record: Record) -> str:
        return Record.Outcome(record.outcome).slug

    @extend_schema_field(serializers.ChoiceField(STEP_NAMES))
    def get_step(self, record: Record) -> str:
        return Step(record.step).slug

    @extend_schema_field(OpenApiTypes.URI)
    def get_log_url(self, record: Record) -> str:
        log = reverse("api:run-log", (record.run_id,), request=self.context["request"])
        return f"{log}?after={max(record.sequence - 1, 0)}&limit=1"

    @extend_schema_field(LinePayloadSerializer(many=True))
    def get_payloads(self, record: Record) -> Any:
        payloads = self.context["payloads"].get(record.pk, ())
        return LinePayloadSerializer(payloads, many=True, context=self.context).data


@extend_schema_field(
    {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1, "maxItems": MAX_KEYS}
)
class KeysField(serializers.Field[list[str], Any, Any, Any]):
    """Keys of records, as text or numbers."""

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list):
            raise serializers.ValidationError([_("Write a list of keys.")])
        keys = [key_text(key) for key in data]
        if "" in keys:
            raise serializers.ValidationError({str(keys.index("")): [KEY_REQUIRED]})
        return keys


class ResyncSerializer(StrictSerializer):
    """Request that sends records of a run again: either `keys` or `outcome`."""

    keys = KeysField(required=False, help_text="Keys of the records.")
    outcome = SingleChoiceField(
        OUTCOME_NAMES, required=False, help_text="All records of the run with this outcome."
    )
    dry_run = BooleanField(required=False, default=False, help_text="Pull and run the script, push nothing.")

    def get_fields(self) -> dict[str, Any]:
        """Adds the field whose name is a keyword of Python."""
        origin = SingleChoiceField(
            ORIGINS,
            required=False,
            help_text="The stored pull payloads, or the source. Default: stored where they can be read.",
        )
        return {**super().get_fields(), "from": origin}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("keys" in attrs) == ("outcome" in attrs):
            raise serializers.ValidationError(_("Write either “keys” or “outcome”."))
        return attrs
