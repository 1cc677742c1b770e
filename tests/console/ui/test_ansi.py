"""ANSI colour sequences become theme colours and are never shown as text."""

import re

import pytest

from apps.console.ui.ansi import message_html


def classes(codes: str) -> list[str]:
    """Returns the CSS classes of a text after a sequence of these codes."""
    html = message_html(f"\x1b[{codes}mtext")
    assert re.sub("<[^>]+>", "", html) == "text"
    return re.findall(r"ansi-([a-z-]+)", html)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("31", ["red"]),
        ("92", ["green"]),
        ("90", ["black"]),
        ("97;44", ["white", "on-blue"]),
        ("1;3;4;103", ["bold", "italic", "underline", "on-yellow"]),
        ("31;42;39", ["on-green"]),
        ("31;42;49", ["red"]),
        ("31;42;0", []),
        ("31;", []),
        ("5;7;21;107:3", ["on-white"]),
        ("4:3", ["underline"]),
    ],
)
def test_ansi_colours_and_styles_become_classes(codes: str, expected: list[str]) -> None:
    assert classes(codes) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *enumerate(("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"), start=8),
        (16, "black"),
        (19, "blue"),
        (51, "cyan"),
        (111, "blue"),
        (82, "green"),
        (160, "red"),
        (201, "magenta"),
        (208, "yellow"),
        (231, "white"),
        (232, "black"),
        (244, "black"),
        (255, "white"),
        (999, "white"),
    ],
)
def test_256_colours_become_the_nearest_theme_colour(number: int, expected: str) -> None:
    assert classes(f"38;5;{number}") == [expected]
    assert classes(f"48;5;{number}") == [f"on-{expected}"]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 0, 0), "red"),
        ((255, 135, 0), "yellow"),
        ((30, 120, 60), "green"),
        ((40, 60, 200), "blue"),
        ((200, 80, 200), "magenta"),
        ((0, 180, 200), "cyan"),
        ((20, 20, 20), "black"),
        ((240, 235, 230), "white"),
    ],
)
def test_true_colours_become_the_nearest_theme_colour(colour: tuple[int, int, int], expected: str) -> None:
    values = ";".join(map(str, colour))

    assert classes(f"38;2;{values}") == [expected]
    assert classes(f"48;2;{values}") == [f"on-{expected}"]
    assert classes(f"38:2:{values.replace(';', ':')}") == [expected]
    assert classes(f"38:2::{values.replace(';', ':')}") == [expected]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        # The parameters of a colour are not style codes.
        ("38;5;1", ["red"]),
        ("38;2;1;2;4;3", ["black", "italic"]),
        ("48;5;4;1", ["on-blue", "bold"]),
        ("58;5;1;4", ["underline"]),
        ("58;2;1;2;3;4", ["underline"]),
        ("38:5:1;4", ["red", "underline"]),
        ("38;2;9999;0;0", ["red"]),
    ],
)
def test_colour_parameters_are_not_read_as_styles(codes: str, expected: list[str]) -> None:
    assert classes(codes) == expected


@pytest.mark.parametrize(
    "codes", ["38", "38;5", "38;2;1;2", "38;9", "48;", "9" * 5000, ":", "38:", "38:2", "38:5:"]
)
def test_invalid_sequence_is_removed(codes: str) -> None:
    assert set(classes(codes)) <= {"black"}
