"""Reads the log of a run: pages, tails and the whole, each one index range of (run_id, sequence).

Whoever writes lines counts them on the run in the same transaction. So the row of the run, read before its lines,
knows how far they reach: one who has them all is told so without a look at the lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from apps.runs.models import Level, LogEntry, Payload, Run, Step

# Lines that one page may hold, and those that are read at once when the whole log is streamed.
MOST_LINES = 5000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log, with the payloads that arose there."""

    sequence: int
    logged_at: datetime
    level: Level
    step: Step
    message: str
    payloads: tuple[Payload, ...] = ()


@dataclass(frozen=True)
class LineFilter:
    """Which lines are wanted; empty = all. `text` is found anywhere in the message, whatever its case."""

    levels: Collection[Level] = ()
    steps: Collection[Step] = ()
    text: str = ""

    def apply(self, lines: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        if self.levels:
            lines = lines.filter(level__in=self.levels)
        if self.steps:
            lines = lines.filter(step__in=self.steps)
        if self.text:
            lines = lines.filter(message__icontains=self.text)
        return lines


EVERYTHING = LineFilter()


def lines_after(run: Run, after: int, limit: int, wanted: LineFilter = EVERYTHING) -> list[Line]:
    """Up to `limit` lines with a sequence above `after`, in order, of those that the run had when it was read.

    No query where there are none.
    """
    most = _most(run)
    if after >= most:
        return []
    return [line for line in _lines_after(run, after, limit, wanted) if line.sequence <= most]


def lines_before(run: Run, before: int, limit: int, wanted: LineFilter = EVERYTHING) -> list[Line]:
    """Up to `limit` lines with a sequence below `before`: the last such, in order."""
    return _read(run, wanted.apply(_log(run).filter(sequence__lt=before)).order_by("-sequence")[:limit])[::-1]


def latest_lines(run: Run, limit: int, wanted: LineFilter = EVERYTHING) -> list[Line]:
    """The last `limit` lines, in order."""
    return _read(run, wanted.apply(_log(run)).order_by("-sequence")[:limit])[::-1]


def all_lines(run: Run, wanted: LineFilter = EVERYTHING) -> Iterator[Line]:
    """The whole log up to now, read in batches, so that memory stays flat however long it is."""
    after = 0
    while lines := _lines_after(run, after, MOST_LINES, wanted):
        yield from lines
        after = lines[-1].sequence


def last_sequence(run: Run) -> int:
    """The number of the latest line when the run was read, 0 where there was none; no query unless lines were lost."""
    if not run.lost_line_count:
        return run.line_count
    known = _log(run).filter(sequence__lte=_most(run))
    return known.order_by("-sequence").values_list("sequence", flat=True).first() or 0


def _most(run: Run) -> int:
    """No line had a higher number when the run was read; where some were lost, numbers go beyond the count."""
    return run.line_count + run.lost_line_count


def _log(run: Run) -> QuerySet[LogEntry]:
    return LogEntry.objects.filter(run_id=run.pk)


def _lines_after(run: Run, after: int, limit: int, wanted: LineFilter) -> list[Line]:
    return _read(run, wanted.apply(_log(run).filter(sequence__gt=after)).order_by("sequence")[:limit])


def _read(run: Run, lines: QuerySet[LogEntry]) -> list[Line]:
    rows = list(lines.values_list("sequence", "logged_at", "level", "step", "message"))
    payloads = _payloads_at(run, [row[0] for row in rows])
    return [
        Line(sequence, logged_at, Level(level), Step(step), message, tuple(payloads.get(sequence, ())))
        for sequence, logged_at, level, step, message in rows
    ]


def _payloads_at(run: Run, sequences: list[int]) -> dict[int, list[Payload]]:
    """The payloads at these lines, with their `state`; no query where the run keeps none."""
    if not sequences or not run.stores:
        return {}
    first, last = min(sequences), max(sequences)
    at: dict[int, list[Payload]] = {}
    for payload in (
        Payload.objects.listed()
        .with_state()
        .filter(run_id=run.pk, sequence__gte=first, sequence__lte=last)
        .order_by("sequence", "created_at", "name")
    ):
        at.setdefault(payload.sequence or 0, []).append(payload)
    return at
