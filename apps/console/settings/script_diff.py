"""Comparison of two versions of a script, line by line, in bounded time."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

# Equal lines before and after each change.
_CONTEXT = 3
# Steps of difflib for two scripts, less than a second.
_MAX_STEPS = 4_000_000

# Tag, and the ranges of lines in the old and the new script, as in `SequenceMatcher.get_opcodes()`.
type Operation = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class DiffLine:
    """A line with its numbers in both scripts, or a gap that stands for `count` equal lines."""

    kind: str  # "same", "added", "removed" or "gap"
    old: int | None = None
    new: int | None = None
    text: str = ""
    count: int = 0


def diff_lines(old: str, new: str) -> list[DiffLine]:
    """The changed lines from `old` to `new` with the lines around them; empty if both are equal."""
    if old == new:
        return []
    before, after = _lines(old), _lines(new)
    operations = list(_merged(_operations(before, after)))
    lines: list[DiffLine] = []
    for tag, old_start, old_end, new_start, new_end in operations:
        if tag == "equal":
            numbers = range(old_start + 1, old_end + 1)
            same = [DiffLine("same", n, n - old_start + new_start, before[n - 1]) for n in numbers]
            lines += _folded(same, is_first=old_start == 0, is_last=old_end == len(before))
        else:
            lines += [DiffLine("removed", i + 1, None, before[i]) for i in range(old_start, old_end)]
            lines += [DiffLine("added", None, j + 1, after[j]) for j in range(new_start, new_end)]
    return lines


def _folded(same: list[DiffLine], *, is_first: bool, is_last: bool) -> list[DiffLine]:
    """Equal lines with a gap in place of those that are far from a change."""
    head, tail = 0 if is_first else _CONTEXT, 0 if is_last else _CONTEXT
    count = len(same) - head - tail
    if count < 2:
        return same
    return [*same[:head], DiffLine("gap", count=count), *same[len(same) - tail :]]


def _lines(source: str) -> list[str]:
    """The lines; a line break at the end starts an empty line, so that its loss is visible."""
    return source.split("\n") if source else []


def _operations(before: list[str], after: list[str]) -> Iterator[Operation]:
    """Operations of difflib; for long scripts, of the parts between the lines that both contain once."""
    steps = _MAX_STEPS
    anchors = []
    if _most_steps(before, after) > steps:
        anchors = _anchors(before, after)
        steps //= len(before) + len(after)
    old_start = new_start = 0
    for old, new in [*anchors, (len(before), len(after))]:
        yield from _part_operations(before[old_start:old], after[new_start:new], old_start, new_start, steps)
        if old < len(before):
            yield "equal", old, old + 1, new, new + 1
        old_start, new_start = old + 1, new + 1


def _part_operations(
    before: list[str], after: list[str], old_start: int, new_start: int, steps: int
) -> Iterator[Operation]:
    """Operations of a part; one that replaces it all if it might take too many steps, each line having its share."""
    if _most_steps(before, after) > steps * (len(before) + len(after)):
        yield "replace", old_start, old_start + len(before), new_start, new_start + len(after)
        return
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        yield tag, old_start + i1, old_start + i2, new_start + j1, new_start + j2


def _most_steps(before: list[str], after: list[str]) -> int:
    """Most steps that difflib takes: for each block of equal lines, all lines and all pairs of equal lines."""
    in_after = Counter(after)
    pairs = sum(in_after[line] for line in before)
    return (len(before) + pairs) * min(len(before), len(after))


def _anchors(before: list[str], after: list[str]) -> list[tuple[int, int]]:
    """Places of the lines that both scripts contain once, in the longest order that they share."""
    in_before, in_after = Counter(before), Counter(after)
    places = {line: number for number, line in enumerate(after) if in_after[line] == in_before[line] == 1}
    pairs = [(number, places[line]) for number, line in enumerate(before) if line in places]
    # Finds the longest increasing subsequence: for each length, its smallest last value and pair; for each pair,
    # its predecessor.
    ends: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for index, (_old, new) in enumerate(pairs):
        length = bisect_left(ends, new)
        ends[length : length + 1] = [new]
        last[length : length + 1] = [index]
        previous.append(last[length - 1] if length else -1)
    anchors = []
    index = last[-1] if last else -1
    while index >= 0:
        anchors.append(pairs[index])
        index = previous[index]
    return anchors[::-1]


def _merged(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Neighbouring equal lines as one operation."""
    held: Operation | None = None
    for operation in operations:
        if held and held[0] == operation[0] == "equal":
            held = (held[0], held[1], operation[2], held[3], operation[4])
            continue
        if held:
            yield held
        held = operation
    if held:
        yield held
