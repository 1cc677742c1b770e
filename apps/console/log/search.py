"""Search in a long log in slices, so that a request has a time limit however rare the matches are."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from django.db.models import QuerySet

from apps.runs.log.reading import Line, LineFilter, last_sequence, lines_after, lines_before
from apps.runs.models import Level, LogEntry, Run

# Lines per query, which takes about ten milliseconds.
SLICE_LINES = 50_000
# Time limit of a search in seconds.
MAX_SECONDS = 1.5
# Maximum number of matches that are counted.
MAX_MATCHES = 1000


@dataclass(frozen=True)
class LineRange(LineFilter):
    """The matching lines from `first` to `last`, both included."""

    first: int = 1
    last: int = 0

    def apply(self, lines: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        return super().apply(lines.filter(sequence__gte=self.first, sequence__lte=self.last))


@dataclass(frozen=True)
class Found:
    """Matching lines in order, and how far the search came: all lines up to `reached` were searched."""

    lines: list[Line]
    reached: int
    # Nothing more matches in this direction.
    is_done: bool


@dataclass(frozen=True)
class Matches:
    """Numbers of the first matching lines; more may follow `reached`."""

    numbers: list[int]
    reached: int
    is_done: bool


class Search:
    """Search in one log, with one time limit for all its queries."""

    def __init__(self, run: Run, line_filter: LineFilter) -> None:
        self.run = run
        self.last = last_sequence(run)
        self._range = LineRange(line_filter.levels, line_filter.steps, line_filter.text)
        self._deadline = time.monotonic() + MAX_SECONDS
        # The counters of a sealed run show which levels do not occur.
        self._cannot_match = run.is_complete and (
            set(line_filter.levels) == {Level.ERROR} and not run.error_count
        )

    def forwards(self, after: int, limit: int) -> Found:
        """Up to `limit` matching lines above `after`."""
        lines: list[Line] = []
        position = after
        while position < self.last and not self._cannot_match:
            until = min(position + SLICE_LINES, self.last)
            part = replace(self._range, first=position + 1, last=until)
            lines += lines_after(self.run, position, limit + 1 - len(lines), part)
            if len(lines) > limit:
                return Found(lines[:limit], lines[limit - 1].sequence if limit else after, is_done=False)
            position = until
            if self._is_late() and position < self.last:
                return Found(lines, position, is_done=False)
        return Found(lines, max(after, self.last), is_done=True)

    def backwards(self, before: int, limit: int) -> Found:
        """The last `limit` matching lines below `before`; `reached` decreases."""
        lines: list[Line] = []
        position = min(before, self.last + 1)
        while position > 1 and not self._cannot_match:
            first = max(position - SLICE_LINES, 1)
            part = replace(self._range, first=first, last=position - 1)
            lines = lines_before(self.run, position, limit + 1 - len(lines), part) + lines
            if len(lines) > limit:
                return Found(lines[-limit:], lines[-limit].sequence, is_done=False)
            position = first
            if self._is_late() and position > 1:
                return Found(lines, position, is_done=False)
        return Found(lines, 1, is_done=True)

    def count(self, after: int = 0) -> Matches:
        """Numbers of the matching lines above `after`, up to the maximum."""
        numbers: list[int] = []
        position = after
        while position < self.last and not self._cannot_match:
            until = min(position + SLICE_LINES, self.last)
            part = replace(self._range, first=position + 1, last=until)
            matches = part.apply(LogEntry.objects.filter(run_id=self.run.pk)).order_by("sequence")
            numbers += matches.values_list("sequence", flat=True)[: MAX_MATCHES + 1 - len(numbers)]
            if len(numbers) > MAX_MATCHES:
                return Matches(numbers[:MAX_MATCHES], numbers[MAX_MATCHES - 1], is_done=False)
            position = until
            if self._is_late() and position < self.last:
                return Matches(numbers, position, is_done=False)
        return Matches(numbers, self.last, is_done=True)

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline
