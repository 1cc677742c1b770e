"""Base class and fields of the serializers. Each field has a single error message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from apps.services.definition.option_errors import choice_message

# Largest integer of the database.
MAX_INTEGER = 2**63 - 1


def format_timestamp(moment: datetime) -> str:
    """UTC in ISO 8601 with microseconds: `2026-11-23T07:15:09.120000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_choices(values: Iterable[str], choices: Collection[str]) -> list[str]:
    """The comma-separated names in `values`. Raises ValidationError for a name that is not among `choices`."""
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in choices:
            raise ValidationError(choice_message(name, choices))
    return names


def unknown_key_message(keys: Iterable[str]) -> str:
    """Error message for a key or parameter that is not among `keys`."""
    return gettext("Unknown name. Allowed: %(names)s.") % {"names": ", ".join(keys)}


class StrictSerializer(serializers.Serializer[Any]):
    """Serializer that refuses unknown keys."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = {key: [unknown_key_message(self.fields)] for key in data if key not in self.fields}
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class TimestampField(serializers.DateTimeField):
    """Time in the format of `format_timestamp`, independent of the active time zone."""

    def to_representation(self, value: datetime) -> str:
        return format_timestamp(value)


class WholeNumberField(serializers.IntegerField):
    """Whole number between two bounds, which every error message names."""

    def __init__(self, *, min_value: int, max_value: int = MAX_INTEGER, **options: Any) -> None:
        if max_value < MAX_INTEGER:
            message = format_lazy(
                _("Write a whole number from {least} to {most}."), least=min_value, most=max_value
            )
        else:
            message = format_lazy(_("Write a whole number of at least {least}."), least=min_value)
        messages: dict[str, Any] = dict.fromkeys(
            ("invalid", "min_value", "max_value", "max_string_length"), message
        )
        super().__init__(min_value=min_value, max_value=max_value, error_messages=messages, **options)


class BooleanField(serializers.BooleanField):
    """true or false, without the other spellings that forms accept."""

    def to_internal_value(self, data: Any) -> bool:
        if type(data) is not bool:
            self.fail("invalid", input=str(data)[:100])
        return data


class SingleChoiceField(serializers.ChoiceField):
    """One of several names; the error message lists them."""

    def fail(self, key: str, **params: Any) -> NoReturn:
        if key == "invalid_choice":
            message = choice_message(params["input"], self.choices)
            raise serializers.ValidationError(message, code=key)
        super().fail(key, **params)


class MultipleChoiceField(serializers.Field[Any, Any, Any, Any]):
    """Any of several names, repeated or separated by commas; returns the values that `choices` maps them to."""

    def __init__(self, choices: Mapping[str, Any], **options: Any) -> None:
        self.choices = choices
        super().__init__(required=False, default=(), **options)

    def get_value(self, dictionary: Any) -> Any:
        return dictionary.getlist(self.field_name) or serializers.empty

    def to_internal_value(self, data: Sequence[str]) -> list[Any]:
        return [self.choices[name] for name in parse_choices(data, self.choices)]

    def to_representation(self, value: Any) -> Any:
        return value
