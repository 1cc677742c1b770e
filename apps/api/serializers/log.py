"""Log lines in responses: pages, the whole log as text or NDJSON, and the filter parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from apps.api.serializers.fields import (
    MultipleChoiceField,
    TimestampField,
    WholeNumberField,
    format_timestamp,
)
from apps.api.serializers.payloads import LinePayloadSerializer
from apps.runs.log.reading import MAX_LINES, Line, LineFilter
from apps.runs.models import Level, Run, Step

LEVELS = {level.slug: level for level in Level}
STEPS = {step.slug: step for step in Step}
LEVEL_NAMES = tuple(LEVELS)
STEP_NAMES = tuple(STEPS)
# Indents the continuation of a message, so that it cannot pass for a line of its own.
_CONTINUATION = "    "


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
            "logged_at": format_timestamp(line.logged_at),
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

    after = WholeNumberField(min_value=0, required=False, default=0)
    limit = WholeNumberField(min_value=1, max_value=MAX_LINES, required=False, default=500)


def line_filter(data: Mapping[str, Any]) -> LineFilter:
    """Filter from the validated data of LineFilterSerializer."""
    return LineFilter(levels=data["level"], steps=data["step"], text=data["q"])


def line_as_text(line: Line) -> str:
    """`2026-11-23T07:15:09.123456Z INFO  pull   message`; continuations of a message are indented."""
    first, *rest = line.message.splitlines() or [""]
    head = f"{format_timestamp(line.logged_at)} {line.level.name:<5} {line.step.slug:<6} {first}"
    return "\n".join([head, *(_CONTINUATION + text for text in rest)]) + "\n"


def line_as_json(document: Mapping[str, Any]) -> str:
    """A line of NDJSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
