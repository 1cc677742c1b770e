"""Values of {since}: time zones, spellings, comparison, overlap, and the future."""

import pytest
from django.core.exceptions import ValidationError

from apps.services.definition.options import read_source
from apps.services.definition.since import (
    check_since,
    earlier,
    in_spelling_of,
    json_value,
    moment_of,
    sort_key,
)


@pytest.mark.parametrize(
    ("first", "since"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T01:00:00+02:00", "2025-12-31T23:00:00Z"),
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        ("2026-01-01 10:00", "2026-01-01T10:00:00Z"),
    ],
)
def test_first_value_in_another_time_zone_becomes_utc(first, since):
    assert read_source("http", {"since": {"first": first}}).since.first == since


@pytest.mark.parametrize(
    ("since", "key", "message"),
    [
        ({"first": "2999-01-01T00:00:00Z"}, "since.first", "is in the future"),
        ({"first": "2999-01-01", "from": "updated_at"}, "since.first", "is in the future"),
        ({"first": "yesterday"}, "since.first", "is not a time"),
        ({"first": "2026-02-30"}, "since.first", "is not a time"),
        ({"first": "0001-01-01T00:00:00+14:00"}, "since.first", "is not a time"),
        ({"from": "a ["}, "since.from", "is not a JMESPath expression"),
        ({"overlap_seconds": -1}, "since.overlap_seconds", "write a whole number from 0"),
        ({"form": "x"}, "since.form", "Allowed: first, from, overlap_seconds."),
    ],
)
def test_invalid_since_is_reported_at_its_key(since, key, message):
    with pytest.raises(ValidationError) as caught:
        read_source("http", {"since": since})

    assert list(caught.value.message_dict) == [key]
    assert message in caught.value.message_dict[key][0]


@pytest.mark.parametrize("value", ["10045", "abc", "2026-01-01"])
def test_value_of_a_field_keeps_its_spelling(value):
    assert check_since(value, is_time=False) == value


@pytest.mark.parametrize(
    ("text", "seconds", "before"),
    [
        ("2026-01-01T00:00:00Z", 300, "2025-12-31T23:55:00Z"),
        ("2026-01-01T00:00:00.5Z", 300, "2025-12-31T23:55:00.500Z"),
        ("2026-01-01T00:00:00.123456+02:00", 60, "2025-12-31T23:59:00.123456+02:00"),
        ("2026-01-01 00:00:00", 60, "2025-12-31 23:59:00"),
        ("2026-01-01", 60, "2025-12-31"),
        ("1767225600", 300, "1767225300"),
        ("1767225600123", 300, "1767225300123"),
        ("19.90", 1, "18.90"),
        ("abc", 300, "abc"),
        ("0001-01-01T00:00:00Z", 300, "0001-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.5Z", 0, "2026-01-01T00:00:00.5Z"),
    ],
)
def test_overlap_is_subtracted_in_the_same_spelling(text, seconds, before):
    assert earlier(text, seconds) == before


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("9", "10"),
        ("2026-01-01T10:00:00+02:00", "2026-01-01T09:00:00Z"),
        ("2026-01-01T09:00:00Z", "2026-01-01T09:00:00.001Z"),
        ("2026-01-01", "2026-01-01T00:00:01"),
        ("a", "b"),
    ],
)
def test_values_are_compared_as_numbers_and_times(less, more):
    assert sort_key(less) < sort_key(more)


def test_time_takes_the_spelling_of_another():
    moment = moment_of("2026-01-01T00:30:00.25Z")

    assert moment is not None
    assert in_spelling_of("2025-01-01T00:00:00+02:00", moment) == "2026-01-01T02:30:00+02:00"
    assert in_spelling_of("2025-01-01T00:00:00.000", moment) == "2026-01-01T00:30:00.250"
    assert in_spelling_of("2025-01-01", moment) == "2026-01-01"


def test_number_is_a_number_in_json():
    assert json_value("10045", is_time=False) == 10045
    assert str(json_value("19.90", is_time=False)) == "19.90"
    assert [json_value(text, is_time=False) for text in ("007", "1e5", "abc")] == ["007", "1e5", "abc"]
