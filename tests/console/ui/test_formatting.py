"""Formatting of durations and days."""

from datetime import date, timedelta

import pytest
from django.utils.translation import override

from apps.console.ui.formatting import day_text, duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (0.0004, "1 ms"),
        (0.012, "12 ms"),
        (0.5, "500 ms"),
        (0.999, "999 ms"),
        (36.54, "36.5 s"),
        (164, "2:44"),
        (3723, "1:02:03"),
    ],
)
def test_duration_is_shown_in_the_largest_fitting_unit(seconds: float | None, text: str) -> None:
    duration = None if seconds is None else timedelta(seconds=seconds)

    assert duration_text(duration) == text


@pytest.mark.parametrize(
    ("language", "text"), [("en", ("5 Nov", "5 Nov 2026")), ("de", ("5. Nov.", "5. Nov. 2026"))]
)
def test_day_is_formatted_as_the_language_requires(language: str, text: tuple[str, str]) -> None:
    day = date(2026, 11, 5)

    with override(language):
        assert (day_text(day), day_text(day, with_year=True)) == text
