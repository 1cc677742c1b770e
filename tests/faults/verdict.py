"""Compares a run with the pushes that the witness received."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.faults.witness import EXCHANGED, PUSHED, SCRIPTED, Push, pushed_numbers, scripted_numbers

if TYPE_CHECKING:
    from tests.faults.world import World

_OPEN = ("queued", "running")


@dataclass(frozen=True)
class Ended:
    """Columns of an ended run."""

    status: str
    line_count: int
    is_complete: bool
    lost_line_count: int
    pushed_count: int


@dataclass
class Verdict:
    """Counts of one run, or the sums of several; `broken` holds a message for each broken promise."""

    witnessed: int = 0
    stored: int = 0
    duplicates: int = 0
    lost: int = 0
    open: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        self.witnessed += other.witnessed
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.lost += other.lost
        self.open += other.open
        self.broken += other.broken


def judge(run_id: int, ended: Ended, lines: list[tuple[int, str]], pushes: list[Push]) -> Verdict:
    """Compares a run and its stored lines (sequence, message) with its pushes.

    A line is lost if it is witnessed but not stored.
    """
    verdict = Verdict(stored=len(lines), open=int(ended.status in _OPEN))
    broken: list[str] = []
    if verdict.open:
        broken.append(f"is still {ended.status}")
    if [sequence for sequence, _message in lines] != list(range(1, len(lines) + 1)):
        broken.append("its lines are not numbered 1, 2, 3 …")
    if not verdict.open and ended.line_count != len(lines):
        broken.append(f"has {len(lines)} lines and reports {ended.line_count}")
    pushed = pushed_numbers(pushes)
    for pattern, witnessed in (
        (SCRIPTED, scripted_numbers(pushes)),
        (EXCHANGED, pushed),
        (PUSHED, pushed),
    ):
        _compare(verdict, broken, list(_numbers(pattern, lines)), witnessed)
    if not verdict.open and ended.is_complete != (ended.lost_line_count == 0):
        broken.append(f"lost {ended.lost_line_count} lines and reports complete: {ended.is_complete}")
    if verdict.lost > ended.lost_line_count:
        broken.append(f"lost {verdict.lost} witnessed lines and reports {ended.lost_line_count}")
    broken += _broken_deliveries(ended, pushes)
    verdict.broken = [f"Run {run_id} {each}" for each in broken]
    return verdict


def _compare(verdict: Verdict, broken: list[str], stored: list[int], witnessed: set[int]) -> None:
    repeated = sum(count - 1 for count in Counter(stored).values())
    verdict.witnessed += len(witnessed)
    verdict.duplicates += repeated
    verdict.lost += len(witnessed - set(stored))
    if repeated:
        broken.append(f"holds {repeated} lines twice")
    if stored != sorted(stored):
        broken.append("holds lines out of order")


def _numbers(pattern: re.Pattern[str], lines: Iterable[tuple[int, str]]) -> Iterable[int]:
    return (int(found.group(1)) for _sequence, message in lines if (found := pattern.match(message)))


def _broken_deliveries(ended: Ended, pushes: list[Push]) -> list[str]:
    """Returns messages about repeated records: only a retry of the previous record may repeat it."""
    broken = []
    numbers = [push.number for push in pushes]
    once = [number for number, before in zip(numbers, [0, *numbers], strict=False) if number != before]
    if once != list(range(1, len(once) + 1)):
        broken.append("pushed records out of order, as two workers would")
    if len({(push.number, push.key) for push in pushes}) != len(once):
        broken.append("pushed a record under two keys")
    if ended.status == "succeeded" and ended.pushed_count != len(once):
        broken.append(f"succeeded with {ended.pushed_count} records pushed, and {len(once)} arrived")
    return broken


def judge_run(world: World, run_id: int, *, until: float | None = None) -> Verdict:
    """Compares the run in the database with its pushes before `until`."""
    [row] = world.query(
        "SELECT status, line_count, is_complete, lost_line_count, pushed_count FROM runs_run WHERE id = %s",
        run_id,
    )
    lines: list[Any] = world.query(
        "SELECT sequence, message FROM runs_logentry WHERE run_id = %s ORDER BY sequence", run_id
    )
    pushes = [push for push in world.witness.pushes(run_id) if until is None or push.at < until]
    return judge(run_id, Ended(*row), lines, pushes)
