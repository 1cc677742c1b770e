"""Comparison of scripts: changed lines with their surroundings, in bounded time for long scripts."""

import random

import pytest

from apps.console.settings.script_diff import DiffLine, diff_lines


def text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def numbered(count: int) -> list[str]:
    return [f"x = {number}" for number in range(1, count + 1)]


def test_changed_lines_are_shown_with_their_numbers_and_surroundings():
    before = numbered(20)
    after = [*before[:9], "y = 1", *before[10:]]

    lines = diff_lines(text(*before), text(*after))

    assert lines == [
        DiffLine("gap", count=6),
        *(DiffLine("same", number, number, f"x = {number}") for number in (7, 8, 9)),
        DiffLine("removed", 10, None, "x = 10"),
        DiffLine("added", None, 10, "y = 1"),
        *(DiffLine("same", number, number, f"x = {number}") for number in (11, 12, 13)),
        # Seven lines, and the empty one after the last line break.
        DiffLine("gap", count=8),
    ]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("", "", []),
        ("a\n", "a\n", []),
        ("", "a", ["added"]),
        ("a", "", ["removed"]),
        ("a", "a\n", ["same", "added"]),
        ("a\nb\nc\nd", "b\nc\nd\ne", ["removed", "same", "same", "same", "added"]),
    ],
)
def test_small_scripts_are_compared(old, new, kinds):
    assert [line.kind for line in diff_lines(old, new)] == kinds


def long_scripts(case: str) -> tuple[list[str], list[str]]:
    before = numbered(10_000)
    match case:
        case "edited":
            return before, [*before[:10], "new", *before[10:9000], *before[9005:]]
        case "every second line":
            return before, [f"{line}!" if number % 2 else line for number, line in enumerate(before)]
        case "shuffled":
            return before, random.Random(1).sample(before, len(before))
        case "repeated":
            return ["a"] * 10_000, ["a", "b"] * 5_000
        case _:
            return ["a" if number % 500 else line for number, line in enumerate(before)], [
                "ab"[number % 2] if number % 500 else line for number, line in enumerate(before)
            ]


@pytest.mark.parametrize("case", ["edited", "every second line", "shuffled", "repeated", "repeated in parts"])
def test_long_scripts_are_compared_completely(case):
    before, after = long_scripts(case)

    # difflib alone takes a minute or more for three of them.
    lines = diff_lines("\n".join(before), "\n".join(after))

    removed = {line.old: line.text for line in lines if line.kind == "removed"}
    added = {line.new: line.text for line in lines if line.kind == "added"}
    assert all(before[number - 1] == text for number, text in removed.items())
    assert all(after[number - 1] == text for number, text in added.items())
    kept_before = [line for number, line in enumerate(before, 1) if number not in removed]
    kept_after = [line for number, line in enumerate(after, 1) if number not in added]
    assert kept_before == kept_after
    if case == "edited":
        assert (len(removed), len(added)) == (5, 1)
