import pytest
from django.core.exceptions import ValidationError

from apps.console.settings.fields import PairsField, SourceCodeField


def test_pairs_are_read_a_line_each():
    pairs = PairsField().clean("limit: 100\r\n\r\n  since : 2026-03-01T00:00:00Z \r\nempty:")

    assert pairs == {"limit": "100", "since": "2026-03-01T00:00:00Z", "empty": ""}


def test_pairs_are_shown_as_they_are_read():
    field = PairsField()
    pairs = {"limit": 100, "url": "http://a/b"}

    shown = field.prepare_value(pairs)

    assert shown == "limit: 100\nurl: http://a/b"
    assert field.clean(shown) == {"limit": "100", "url": "http://a/b"}
    assert not field.has_changed(pairs, shown)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("limit 100", "Line 1 is no pair; write a name, a colon and a value, as in limit: 100."),
        ("a: 1\n: 2", "Line 2 is no pair; write a name, a colon and a value, as in limit: 100."),
        ("a: 1\na: 2", "Line 2 gives “a” a second value; keep one."),
    ],
)
def test_pairs_refuse_what_is_none(text, reason):
    with pytest.raises(ValidationError) as caught:
        PairsField().clean(text)

    assert caught.value.messages == [reason]


def test_script_keeps_its_indentation_and_loses_carriage_returns():
    field = SourceCodeField()

    assert field.clean("def transform(records):\r\n    return records\r\n") == (
        "def transform(records):\n    return records\n"
    )
    assert field.clean(" \r\n ") == ""
    assert not field.has_changed("a\nb\n", "a\r\nb\r\n")
