"""Reads the log of a run: pages, the tail, and the whole log, each as one index range of (run_id, sequence).

Lines and the counters of the run are written in the same transaction. So the run, read before its lines, tells how
many there are: an idle poll needs no query of lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from apps.runs.models import Level, LogEntry, Payload, Run, Step

# Lines of the largest page, and lines that are read at once when the whole log is streamed.
MAX_LINES = 5000


@dataclass(frozen=True, slots=True)
class Line:
    """One line with the payloads that belong to it."""

    sequence: int
    logged_at: datetime
    level: Level
    step: Step
    message: str
    payloads: tuple[Payload, ...] = ()


@dataclass(frozen=True)
class LineFilter:
    """Filter of lines; empty = all. `text` matches anywhere in the message, ignoring case."""

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


def lines_after(run: Run, after: int, limit: int, line_filter: LineFilter = EVERYTHING) -> list[Line]:
    """Up to `limit` lines with a sequence above `after`, in order, limited to lines that existed when the run was
    read.

    No query if there are none.
    """
    max_sequence = _max_sequence(run)
    if after >= max_sequence:
        return []
    return [line for line in _lines_after(run, after, limit, line_filter) if line.sequence <= max_sequence]


def lines_before(run: Run, before: int, limit: int, line_filter: LineFilter = EVERYTHING) -> list[Line]:
    """The last `limit` lines with a sequence below `before`, in order."""
    return _read(run, line_filter.apply(_log(run).filter(sequence__lt=before)).order_by("-sequence")[:limit])[
        ::-1
    ]


def latest_lines(run: Run, limit: int, line_filter: LineFilter = EVERYTHING) -> list[Line]:
    """The last `limit` lines, in order."""
    return _read(run, line_filter.apply(_log(run)).order_by("-sequence")[:limit])[::-1]


def all_lines(run: Run, line_filter: LineFilter = EVERYTHING) -> Iterator[Line]:
    """All lines so far, read in batches, so that memory stays constant."""
    after = 0
    while lines := _lines_after(run, after, MAX_LINES, line_filter):
        yield from lines
        after = lines[-1].sequence


def last_sequence(run: Run) -> int:
    """Number of the latest line when the run was read, 0 if there is none; needs a query only if lines were lost."""
    if not run.lost_line_count:
        return run.line_count
    known = _log(run).filter(sequence__lte=_max_sequence(run))
    return known.order_by("-sequence").values_list("sequence", flat=True).first() or 0


def _max_sequence(run: Run) -> int:
    """Upper bound of the line numbers when the run was read: lost lines have numbers as well."""
    return run.line_count + run.lost_line_count


def _log(run: Run) -> QuerySet[LogEntry]:
    return LogEntry.objects.filter(run_id=run.pk)


def _lines_after(run: Run, after: int, limit: int, line_filter: LineFilter) -> list[Line]:
    return _read(run, line_filter.apply(_log(run).filter(sequence__gt=after)).order_by("sequence")[:limit])


def _read(run: Run, lines: QuerySet[LogEntry]) -> list[Line]:
    rows = list(lines.values_list("sequence", "logged_at", "level", "step", "message"))
    payloads = _payloads_at(run, [row[0] for row in rows])
    return [
        Line(sequence, logged_at, Level(level), Step(step), message, tuple(payloads.get(sequence, ())))
        for sequence, logged_at, level, step, message in rows
    ]


def _payloads_at(run: Run, sequences: list[int]) -> dict[int, list[Payload]]:
    """Payloads by line, with their `state`; no query if the run stores none."""
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
