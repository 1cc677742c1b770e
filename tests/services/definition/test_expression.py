"""JMESPath expressions: what is wrong with an invalid one, in plain words."""

import re

import pytest
from django.utils.translation import override

from apps.services.definition.expression import Expression


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("data.", "something is missing at its end"),
        ("data[", "something is missing at its end"),
        ("items[?total > ", "something is missing at its end"),
        ('data."items', 'the " at character 6 is not closed'),
        ("`1", "the ` at character 1 is not closed"),
        ("a b", "“b” is unexpected at character 3"),
        ("data..items", "“.” is unexpected at character 6"),
        ("items)", "“)” is unexpected at character 6"),
        ("a[?b=='x' && c = 'y']", "“=” is unexpected at character 16; two values are compared by =="),
        (
            "items[?total > 5]",
            "“5” is unexpected at character 16; numbers are written as `1`, with backquotes",
        ),
        (
            "order-id",
            '“-” is unexpected at character 6; names that contain it are written as "a-b", with quotes',
        ),
        ("(" * 5000, "it is nested too deeply"),
    ],
)
def test_reason_says_what_is_wrong_and_where(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        Expression.compile(text)


def test_reason_is_translated() -> None:
    with override("de"), pytest.raises(ValueError, match="am Ende fehlt etwas"):
        Expression.compile("data.")
