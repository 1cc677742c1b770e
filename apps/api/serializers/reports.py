"""Requests of reporters: log lines, parsed by hand because a batch has up to 10,000, and the result of a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from apps.api.http.problems import BodyTooLarge
from apps.api.serializers.fields import (
    MAX_INTEGER,
    SingleChoiceField,
    StrictSerializer,
    WholeNumberField,
    unknown_key_message,
)
from apps.api.serializers.log import LEVEL_NAMES, LEVELS, STEP_NAMES, STEPS
from apps.runs.reported.reporting import ReportedLine
from apps.services.definition.option_errors import choice_message

MAX_LINES = 10_000
FINAL_STATUSES = ("succeeded", "failed", "cancelled")
_LINE_KEYS = {"sequence", "logged_at", "level", "step", "message"}
_YEARS = range(1969, 3001)


@extend_schema_field({"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|2[0-9]{3})-"})
class _TimestampField(serializers.DateTimeField):
    """Time since 1970."""


class ReportedLineSerializer(StrictSerializer):
    """A line of a reported run."""

    sequence = serializers.IntegerField(
        min_value=1, max_value=MAX_INTEGER, help_text="1, 2, 3 … without gaps within the run."
    )
    logged_at = _TimestampField(
        required=False, help_text="ISO 8601, UTC if there is no offset. Default: now."
    )
    level = SingleChoiceField(LEVEL_NAMES, required=False, default="info")
    step = SingleChoiceField(STEP_NAMES, required=False, default="pull")
    message = serializers.CharField(
        allow_blank=True, trim_whitespace=False, help_text="Cleaned and cut to 32 KiB before it is stored."
    )


class ReportedLinesSerializer(StrictSerializer):
    """A batch of up to 10,000 lines and 8 MiB. An empty batch only renews the lease."""

    lines = ReportedLineSerializer(many=True)


class ReportedSerializer(serializers.Serializer[Any]):
    """Position of the log."""

    last_sequence = serializers.IntegerField(help_text="Number of the latest stored line.")


@extend_schema_field(OpenApiTypes.STR)
class MessageField(serializers.Field[str, str, str, Any]):
    """Text that is cleaned before it is stored, so that a stray NUL does not make a report fail."""

    default_error_messages = {"invalid": _lazy("Invalid value; write text.")}

    def to_internal_value(self, data: Any) -> str:
        if type(data) is not str:
            self.fail("invalid")
        return data

    def to_representation(self, value: str) -> str:
        return value


class FinishSerializer(StrictSerializer):
    """Result of a reported run."""

    status = SingleChoiceField(FINAL_STATUSES)
    pulled_count = WholeNumberField(min_value=0, required=False, default=0)
    pushed_count = WholeNumberField(min_value=0, required=False, default=0)
    error = MessageField(
        required=False,
        default="",
        allow_null=True,
        help_text="One sentence. Default: the first error of the log.",
    )


def parse_lines(data: Any) -> list[ReportedLine]:
    """The lines of `{"lines": […]}`. Raises ValidationError for the first invalid line, and BodyTooLarge."""
    if not isinstance(data, Mapping) or set(data) != {"lines"} or not isinstance(data["lines"], list):
        raise ValidationError({"lines": [_("Send NDJSON, or {“lines”: […]} without other keys.")]})
    lines = data["lines"]
    if len(lines) > MAX_LINES:
        raise BodyTooLarge(
            _("%(count)d lines are too many; send at most %(most)d at once.")
            % {"count": len(lines), "most": MAX_LINES}
        )
    now = timezone.now()
    return [_parse_line(line, index, now) for index, line in enumerate(lines)]


def _parse_line(line: Any, index: int, now: datetime) -> ReportedLine:
    if type(line) is not dict:
        raise ValidationError({f"lines.{index}": [_("Invalid line; write a JSON object.")]})
    if not _LINE_KEYS.issuperset(line):
        unknown = sorted(set(line) - _LINE_KEYS)[0]
        raise _error(index, unknown[:100], unknown_key_message(sorted(_LINE_KEYS)))
    sequence, message = line.get("sequence"), line.get("message")
    if type(sequence) is float and sequence.is_integer():
        # A whole number for JSON Schema and for languages with a single number type.
        sequence = int(sequence)
    if type(sequence) is not int or not 1 <= sequence <= MAX_INTEGER:
        raise _error(index, "sequence", _("Write a whole number of at least {least}.").format(least=1))
    if type(message) is not str:
        raise _error(index, "message", _("Invalid value; write text."))
    return ReportedLine(
        sequence,
        _parse_time(line["logged_at"], index) if "logged_at" in line else now,
        LEVELS[_check_choice(line.get("level", "info"), LEVEL_NAMES, index, "level")],
        STEPS[_check_choice(line.get("step", "pull"), STEP_NAMES, index, "step")],
        message,
    )


def _parse_time(value: Any, index: int) -> datetime:
    try:
        time = datetime.fromisoformat(value)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        time = None
    if time is None or time.year not in _YEARS:
        example = {"time": "2026-11-23T07:15:09Z"}
        raise _error(index, "logged_at", _("Write a time in ISO 8601, such as %(time)s.") % example)
    return time


def _check_choice(value: Any, choices: tuple[str, ...], index: int, key: str) -> str:
    if type(value) is not str or value not in choices:
        raise _error(index, key, choice_message(value, choices))
    return value


def _error(index: int, key: str, message: str) -> ValidationError:
    return ValidationError({f"lines.{index}.{key}": [message]})
