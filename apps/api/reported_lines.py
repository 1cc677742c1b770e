"""Requests of reporters: lines, parsed by hand because a batch has up to 10,000, and the result of a run."""

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

from apps.api.fields import LARGEST, SingleChoiceField, WholeNumberField
from apps.api.problems import BodyTooLarge
from apps.api.serializers import LEVEL_NAMES, LEVELS, STEP_NAMES, STEPS, StrictSerializer
from apps.runs.models import Level, Step
from apps.runs.reported.reporting import ReportedLine

MAX_LINES = 10_000
ENDS = ("succeeded", "failed", "cancelled")
_KEYS = {"sequence", "logged_at", "level", "step", "message"}
_YEARS = range(1969, 3001)


@extend_schema_field({"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|2[0-9]{3})-"})
class _TimestampField(serializers.DateTimeField):
    """A time from 1970 on."""


class ReportedLineSerializer(StrictSerializer):
    """A line of a reported run."""

    sequence = serializers.IntegerField(
        min_value=1, max_value=LARGEST, help_text="1, 2, 3 … without gaps within the run."
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
    """Text that is cleaned before it is stored: a stray NUL must not make a report fail."""

    default_error_messages = {"invalid": _lazy("Invalid value; write text.")}

    def to_internal_value(self, data: Any) -> str:
        if type(data) is not str:
            self.fail("invalid")
        return data

    def to_representation(self, value: str) -> str:
        return value


class FinishSerializer(StrictSerializer):
    """Result of a reported run."""

    status = SingleChoiceField(ENDS)
    pulled_count = WholeNumberField(least=0, required=False, default=0)
    pushed_count = WholeNumberField(least=0, required=False, default=0)
    error = MessageField(
        required=False,
        default="",
        allow_null=True,
        help_text="One sentence. Default: the first error of the log.",
    )


def reported_lines(data: Any) -> list[ReportedLine]:
    """The lines of `{"lines": […]}`. Raises ValidationError for the first invalid line, and BodyTooLarge."""
    if not isinstance(data, Mapping) or set(data) != {"lines"} or not isinstance(data["lines"], list):
        raise ValidationError({"lines": [_("Send NDJSON, or {“lines”: […]} without other keys.")]})
    given = data["lines"]
    if len(given) > MAX_LINES:
        raise BodyTooLarge(
            _("%(count)d lines are too many; send at most %(most)d at once.")
            % {"count": len(given), "most": MAX_LINES}
        )
    now = timezone.now()
    return [_line(item, index, now) for index, item in enumerate(given)]


def _line(item: Any, index: int, now: datetime) -> ReportedLine:
    if type(item) is not dict:
        raise ValidationError({f"lines.{index}": [_("Invalid line; write a JSON object.")]})
    if not _KEYS.issuperset(item):
        wrong = sorted(set(item) - _KEYS)[0]
        known = _("Unknown; known are: %(names)s.") % {"names": ", ".join(sorted(_KEYS))}
        raise ValidationError({f"lines.{index}.{wrong[:100]}": [known]})
    sequence, message = item.get("sequence"), item.get("message")
    if type(sequence) is float and sequence.is_integer():
        # A whole number for JSON Schema and for languages with a single number type.
        sequence = int(sequence)
    if type(sequence) is not int or not 1 <= sequence <= LARGEST:
        raise _wrong(index, "sequence", _("Write a whole number from 1."))
    if type(message) is not str:
        raise _wrong(index, "message", _("Invalid value; write text."))
    return ReportedLine(
        sequence,
        _moment(item["logged_at"], index) if "logged_at" in item else now,
        _level(item.get("level", "info"), index),
        _step(item.get("step", "pull"), index),
        message,
    )


def _moment(given: Any, index: int) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        moment = datetime.min.replace(tzinfo=UTC)
    if moment.year not in _YEARS:
        raise _wrong(
            index,
            "logged_at",
            _("Write a time in ISO 8601, such as %(time)s.") % {"time": "2026-11-23T07:15:09Z"},
        )
    return moment


def _level(given: Any, index: int) -> Level:
    if type(given) is not str or given not in LEVELS:
        raise _wrong(index, "level", _("Known are: %(names)s.") % {"names": ", ".join(LEVEL_NAMES)})
    return LEVELS[given]


def _step(given: Any, index: int) -> Step:
    if type(given) is not str or given not in STEPS:
        raise _wrong(index, "step", _("Known are: %(names)s.") % {"names": ", ".join(STEP_NAMES)})
    return STEPS[given]


def _wrong(index: int, key: str, reason: str) -> ValidationError:
    return ValidationError({f"lines.{index}.{key}": [reason]})
