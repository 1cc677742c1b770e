"""Requests of reporters: log lines and records, parsed by hand because a batch has up to 10,000, and the result."""

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
from apps.api.serializers.records import KEY_REQUIRED, MAX_SEQUENCE, OUTCOME_NAMES, OUTCOMES
from apps.runs.records.keys import key_text
from apps.runs.reported.records import ReportedRecord
from apps.runs.reported.reporting import ReportedLine
from apps.services.definition.option_errors import choice_message

MAX_ITEMS = 10_000
FINAL_STATUSES = ("succeeded", "failed", "cancelled")
_LINE_KEYS = {"sequence", "logged_at", "level", "step", "message"}
_RECORD_KEYS = {"key", "outcome", "message", "sequence"}
_YEARS = range(1969, 3001)


@extend_schema_field({"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|2[0-9]{3})-"})
class _TimestampField(serializers.DateTimeField):
    """Time since 1970."""


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


@extend_schema_field({"type": ["string", "number"], "minLength": 1})
class KeyField(serializers.Field[str, Any, Any, Any]):
    """Key of a record."""


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


class ReportedRecordSerializer(StrictSerializer):
    """A record of a reported run."""

    key = KeyField(help_text="Text or a number: 10045 equals “10045”.")
    outcome = SingleChoiceField(OUTCOME_NAMES)
    message = MessageField(required=False, default="", help_text="Reason, cut to 500 characters.")
    sequence = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_SEQUENCE,
        help_text="Log line. Default: the last line so far.",
    )


class ReportedRecordsSerializer(StrictSerializer):
    """A batch of up to 10,000 records and 8 MiB."""

    records = ReportedRecordSerializer(many=True)


class RecordedSerializer(serializers.Serializer[Any]):
    """Receipt of records."""

    record_count = serializers.IntegerField(help_text="Number of records in the request.")


class ReportedSerializer(serializers.Serializer[Any]):
    """Position of the log."""

    last_sequence = serializers.IntegerField(help_text="Number of the latest stored line.")


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
    now = timezone.now()
    return [_parse_line(line, index, now) for index, line in enumerate(_items(data, "lines"))]


def parse_records(data: Any) -> list[ReportedRecord]:
    """The records of `{"records": […]}`. Raises ValidationError for the first invalid record, and BodyTooLarge."""
    return [_parse_record(record, index) for index, record in enumerate(_items(data, "records"))]


def _items(data: Any, name: str) -> list[Any]:
    if not isinstance(data, Mapping) or set(data) != {name} or not isinstance(data[name], list):
        message = _("Send NDJSON, or {“%(name)s”: […]} without other keys.") % {"name": name}
        raise ValidationError({name: [message]})
    items: list[Any] = data[name]
    if len(items) > MAX_ITEMS:
        raise BodyTooLarge(
            _("%(count)d items are too many; send at most %(most)d at once.")
            % {"count": len(items), "most": MAX_ITEMS}
        )
    return items


def _parse_record(record: Any, index: int) -> ReportedRecord:
    _check_keys(record, _RECORD_KEYS, index, "records")
    key, message = key_text(record.get("key")), record.get("message", "")
    if not key:
        raise _error(index, "key", str(KEY_REQUIRED), "records")
    if type(message) is not str:
        raise _error(index, "message", _("Invalid value; write text."), "records")
    outcome = _check_choice(record.get("outcome"), OUTCOME_NAMES, index, "outcome", "records")
    sequence = (
        _whole_number(record["sequence"], MAX_SEQUENCE, index, "records") if "sequence" in record else None
    )
    return ReportedRecord(key, OUTCOMES[outcome], message, sequence)


def _parse_line(line: Any, index: int, now: datetime) -> ReportedLine:
    _check_keys(line, _LINE_KEYS, index)
    sequence, message = _whole_number(line.get("sequence"), MAX_INTEGER, index), line.get("message")
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


def _check_keys(item: Any, known: set[str], index: int, name: str = "lines") -> None:
    if type(item) is not dict:
        raise ValidationError({f"{name}.{index}": [_("Invalid line; write a JSON object.")]})
    if not known.issuperset(item):
        unknown = sorted(set(item) - known)[0]
        raise _error(index, unknown[:100], unknown_key_message(sorted(known)), name)


def _whole_number(value: Any, most: int, index: int, name: str = "lines") -> int:
    if type(value) is float and value.is_integer():
        # A whole number for JSON Schema and for languages with a single number type.
        value = int(value)
    if type(value) is not int or not 1 <= value <= most:
        raise _error(index, "sequence", _("Write a whole number of at least {least}.").format(least=1), name)
    return value


def _check_choice(value: Any, choices: tuple[str, ...], index: int, key: str, name: str = "lines") -> str:
    if type(value) is not str or value not in choices:
        raise _error(index, key, choice_message(value, choices), name)
    return value


def _error(index: int, key: str, message: str, name: str = "lines") -> ValidationError:
    return ValidationError({f"{name}.{index}.{key}": [message]})
