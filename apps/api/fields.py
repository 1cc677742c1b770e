"""Serializer fields of the API, each with a single error message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

# Largest integer of the database.
LARGEST = 2**63 - 1


def timestamp(moment: datetime) -> str:
    """UTC in ISO 8601 with six digits of microseconds: `2026-11-23T07:15:09.120000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


class TimestampField(serializers.DateTimeField):
    """A time in the format of `timestamp`, independent of the active time zone."""

    def to_representation(self, value: datetime) -> str:
        return timestamp(value)


class WholeNumberField(serializers.IntegerField):
    """A whole number from `least` to `most`; every error says so."""

    def __init__(self, *, least: int, most: int = LARGEST, **options: Any) -> None:
        wanted = (
            format_lazy(_("Write a whole number from {least} to {most}."), least=least, most=most)
            if most < LARGEST
            else format_lazy(_("Write a whole number from {least} up."), least=least)
        )
        messages: dict[str, Any] = dict.fromkeys(
            ("invalid", "min_value", "max_value", "max_string_length"), wanted
        )
        super().__init__(min_value=least, max_value=most, error_messages=messages, **options)


class BooleanField(serializers.BooleanField):
    """The two JSON values, without the other spellings that forms accept."""

    def to_internal_value(self, data: Any) -> bool:
        if type(data) is not bool:
            self.fail("invalid", input=str(data)[:100])
        return data


class MultipleChoiceField(serializers.Field[Any, Any, Any, Any]):
    """Several of the known words, repeated or separated by commas; returns their values."""

    def __init__(self, choices: Mapping[str, Any], **options: Any) -> None:
        self.choices = choices
        super().__init__(required=False, default=(), **options)

    def get_value(self, dictionary: Any) -> Any:
        return dictionary.getlist(self.field_name) or serializers.empty

    def to_internal_value(self, data: Sequence[str]) -> list[Any]:
        return [self.choices[word] for word in parse_choices(data, self.choices)]

    def to_representation(self, value: Any) -> Any:
        return value


class SingleChoiceField(serializers.ChoiceField):
    """One of the known words; the error names them."""

    def fail(self, key: str, **words: Any) -> NoReturn:
        if key == "invalid_choice":
            raise serializers.ValidationError(_unknown_word(str(words["input"]), self.choices), code=key)
        super().fail(key, **words)


def parse_choices(given: Iterable[str], known: Collection[str]) -> list[str]:
    """The comma-separated words in `given`. Raises ValidationError for an unknown word."""
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise ValidationError(_unknown_word(word, known))
    return words


def unknown_key_message(known: Iterable[str]) -> str:
    """Message for an unknown key or parameter."""
    return gettext("Unknown; known are: %(names)s.") % {"names": ", ".join(known)}


def _unknown_word(word: str, known: Iterable[str]) -> str:
    return gettext("“%(word)s” is unknown; known are: %(known)s.") % {
        "word": word[:100],
        "known": ", ".join(known),
    }
