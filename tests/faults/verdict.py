"""Compares the lines and records of a run with the pushes that the witness received."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.faults.witness import (
    EXCHANGED,
    PUSHED,
    SCRIPTED,
    Push,
    is_dropped,
    is_refused,
    pushed_numbers,
    scripted_numbers,
)

if TYPE_CHECKING:
    from tests.faults.world import World

_OPEN = ("queued", "running")
# Start of the reason of a run whose host was removed, and reason of one whose record file could not be written.
ON_OTHER_HOST = ("its last lines may be on ", "its last lines and captured payloads may be on ")
UNWRITTEN_RECORDS = "the disk did not take the outcomes of all records"


class Outcome(IntEnum):
    """Outcomes as they are stored."""

    REFUSED = 1
    FAILED = 2
    PUSHED = 3
    DROPPED = 4
    PULLED = 6


@dataclass(frozen=True)
class Ended:
    """Columns of an ended run."""

    status: str
    line_count: int
    is_complete: bool
    lost_line_count: int
    pushed_count: int
    lost_reason: str = ""

    @property
    def is_on_other_host(self) -> bool:
        """Whether the run says that an unknown number of lines is missing."""
        return self.lost_reason.startswith(ON_OTHER_HOST)


class StoredRecord(NamedTuple):
    """A record in the database: its number and outcome, and the line of the decision."""

    number: int
    outcome: int
    message: str
    sequence: int


@dataclass
class Counts:
    """Counts of the lines, or of the records."""

    witnessed: int = 0
    stored: int = 0
    duplicates: int = 0
    lost: int = 0

    def add(self, other: Counts) -> None:
        self.witnessed += other.witnessed
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.lost += other.lost

    def __str__(self) -> str:
        return f"{self.witnessed:,} witnessed, {self.stored:,} stored, {self.duplicates:,} doubled, {self.lost:,} lost"


@dataclass
class Verdict:
    """Counts of one run, or the sums of several; `broken` holds a message for each broken promise."""

    lines: Counts = field(default_factory=Counts)
    records: Counts = field(default_factory=Counts)
    open: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        self.lines.add(other.lines)
        self.records.add(other.records)
        self.open += other.open
        self.broken += other.broken


def judge(run_id: int, ended: Ended, lines: list[tuple[int, str]], pushes: list[Push]) -> Verdict:
    """Compares a run and its stored lines (sequence, message) with its pushes.

    A line is lost if it is witnessed but not stored.
    """
    verdict = Verdict(Counts(stored=len(lines)), open=int(ended.status in _OPEN))
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
    is_incomplete = (
        ended.lost_line_count > 0 or ended.lost_reason == UNWRITTEN_RECORDS or ended.is_on_other_host
    )
    if not verdict.open and ended.is_complete == is_incomplete:
        broken.append(f"lost {ended.lost_line_count} lines and reports complete: {ended.is_complete}")
    if verdict.lines.lost > ended.lost_line_count and not ended.is_on_other_host:
        broken.append(f"lost {verdict.lines.lost} witnessed lines and reports {ended.lost_line_count}")
    broken += _broken_deliveries(ended, pushes)
    verdict.broken = [f"Run {run_id} {each}" for each in broken]
    return verdict


def _compare(verdict: Verdict, broken: list[str], stored: list[int], witnessed: set[int]) -> None:
    repeated = sum(count - 1 for count in Counter(stored).values())
    verdict.lines.witnessed += len(witnessed)
    verdict.lines.duplicates += repeated
    verdict.lines.lost += len(witnessed - set(stored))
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
    if once != list(islice((number for number in count(1) if not is_dropped(number)), len(once))):
        broken.append("pushed records out of order, as two workers would")
    if len({(push.number, push.key) for push in pushes}) != len(once):
        broken.append("pushed a record under two keys")
    accepted = [number for number in once if not is_refused(number)]
    if ended.status == "succeeded" and ended.pushed_count != len(accepted):
        broken.append(f"succeeded with {ended.pushed_count} records pushed, and {len(accepted)} arrived")
    return broken


def judge_records(
    run_id: int,
    ended: Ended,
    records: list[StoredRecord],
    lines: list[tuple[int, str]],
    pushes: list[Push],
    *,
    later: Sequence[Push] = (),
) -> Verdict:
    """Compares the stored records with the pushes; `later` are those that the run may not show yet.

    A record is lost if its page was processed and it is not stored.
    """
    outcomes = {record.number: record for record in records}
    witnessed = scripted_numbers(pushes)
    missing = witnessed - set(outcomes)
    counts = Counts(len(witnessed), len(records), len(records) - len(outcomes), len(missing))
    broken = []
    if counts.duplicates:
        broken.append(f"holds {counts.duplicates} records twice")
    if missing and ended.is_complete:
        broken.append(f"lost the records {sorted(missing)} and reports none")
    arrived = {push.number for push in [*pushes, *later]}
    last = {push.number for push in pushes[-1:]}
    for record in records:
        number = record.number
        # What was decided before a push is written before it.
        is_known = number in witnessed and (number in pushed_numbers(pushes) or is_dropped(number))
        allowed = {_true_outcome(number, arrived, witnessed)}
        if not (ended.status == "succeeded" or (is_known and number not in last and ended.is_complete)):
            allowed.add(Outcome.PULLED)
        if is_dropped(number) and number not in witnessed and ended.status != "succeeded":
            # The run may have ended between the script and the first push of its page.
            allowed.add(Outcome.DROPPED)
        if record.outcome not in allowed:
            broken.append(f"shows record {number} as {Outcome(record.outcome).name}: {record.message}")
    if not ended.lost_line_count:
        broken += _wrong_lines(records, dict(lines))
    return Verdict(records=counts, broken=[f"Run {run_id} {each}" for each in broken])


def _true_outcome(number: int, arrived: set[int], witnessed: set[int]) -> Outcome:
    if number in arrived:
        return Outcome.REFUSED if is_refused(number) else Outcome.PUSHED
    return Outcome.DROPPED if is_dropped(number) and number in witnessed else Outcome.FAILED


def _wrong_lines(records: list[StoredRecord], lines: dict[int, str]) -> Iterator[str]:
    """Yields messages about records whose line is missing or is that of another record."""
    for record in records:
        line = lines.get(record.sequence, "")
        found = PUSHED.match(line)
        if not line or (found and int(found.group(1)) != record.number):
            yield f"shows record {record.number} at line {record.sequence}: {line}"


def judge_run(world: World, run_id: int, *, until: float | None = None) -> Verdict:
    """Compares the run in the database with its pushes; what came after `until` may not be shown yet."""
    [row] = world.query(
        "SELECT status, line_count, is_complete, lost_line_count, pushed_count, lost_reason FROM runs_run"
        " WHERE id = %s",
        run_id,
    )
    lines: list[Any] = world.query(
        "SELECT sequence, message FROM runs_logentry WHERE run_id = %s ORDER BY sequence", run_id
    )
    records = world.query(
        "SELECT key::int, outcome, message, sequence FROM runs_record WHERE run_id = %s", run_id
    )
    pushes = world.witness.pushes(run_id)
    later = [push for push in pushes if until is not None and push.at >= until]
    pushes = pushes[: len(pushes) - len(later)]
    verdict = judge(run_id, Ended(*row), lines, pushes)
    verdict.add(
        judge_records(
            run_id, Ended(*row), [StoredRecord(*each) for each in records], lines, pushes, later=later
        )
    )
    return verdict
