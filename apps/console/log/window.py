"""Window of a log: the latest lines, those around a line, or a page before or after one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict

from apps.console.log.search import Search
from apps.runs.log.reading import Line, LineFilter, latest_lines, lines_after, lines_before
from apps.runs.models import Level, Run, Step

PAGE_LINES = 500
# Fewer lines around a target line, so that it appears soon; scrolling loads more.
_LINES_BEFORE = 60
_LINES_FROM = 90


@dataclass(frozen=True)
class LogQuery:
    """Query of the log page, shared by page, feed, search and download."""

    # Empty = all, as in the API.
    levels: tuple[Level, ...]
    steps: tuple[Step, ...]
    text: str
    line: int | None
    before: int | None
    after: int | None

    @classmethod
    def from_query(cls, query: QueryDict) -> LogQuery:
        """Reads the query string; invalid values are ignored."""
        return cls(
            levels=_members(Level, query.getlist("level")),
            steps=_members(Step, query.getlist("step")),
            # No database stores NUL.
            text=query.get("q", "").replace("\x00", "").strip()[:500],
            line=_number(query.get("line", "")),
            before=_number(query.get("before", "")),
            after=_number(query.get("after", "")),
        )

    @property
    def line_filter(self) -> LineFilter:
        return LineFilter(levels=self.levels, steps=self.steps, text=self.text)

    @property
    def is_filtered(self) -> bool:
        return bool(self.levels or self.steps or self.text)

    @property
    def filter_query(self) -> str:
        """The filter alone, as the end of a URL."""
        return self.link()

    def link(self, **place: int) -> str:
        """URL with the same filter and another position; "?" is the page without a query."""
        query: list[tuple[str, str | int]] = [("level", level.slug) for level in self.levels]
        query += [("step", step.slug) for step in self.steps]
        if self.text:
            query.append(("q", self.text))
        return "?" + urlencode([*query, *place.items()])


@dataclass(frozen=True)
class LogWindow:
    """Lines in order, and whether there are more on either side.

    `first` and `last` bound the lines that were searched: with a filter they may lie beyond the lines that are
    shown.
    """

    lines: list[Line]
    first: int
    last: int
    has_earlier: bool
    has_later: bool


def read_window(run: Run, query: LogQuery, size: int = PAGE_LINES) -> LogWindow:
    """The lines that the query selects; each side is one index range."""
    if query.is_filtered:
        return _search_window(run, query, size)
    if query.line is not None:
        before = lines_before(run, query.line, _LINES_BEFORE + 1)
        after = lines_after(run, query.line - 1, _LINES_FROM + 1)
        lines = before[-_LINES_BEFORE:] + after[:_LINES_FROM]
        return _window(lines, len(before) > _LINES_BEFORE, len(after) > _LINES_FROM)
    if query.before is not None:
        lines = lines_before(run, query.before, size + 1)
        return _window(lines[-size:], len(lines) > size, has_later=True, otherwise=query.before)
    if query.after is not None:
        lines = lines_after(run, query.after, size + 1)
        return _window(lines[:size], query.after > 0, len(lines) > size, otherwise=query.after)
    lines = latest_lines(run, size + 1)
    return _window(lines[-size:], len(lines) > size, has_later=False)


def _window(lines: list[Line], has_earlier: bool, has_later: bool, otherwise: int = 0) -> LogWindow:
    first, last = (lines[0].sequence, lines[-1].sequence) if lines else (otherwise, otherwise)
    return LogWindow(lines, first, last, has_earlier, has_later)


def _search_window(run: Run, query: LogQuery, size: int) -> LogWindow:
    """The same with a filter; ends at the time limit of the search."""
    search = Search(run, query.line_filter)
    if query.line is not None:
        after = search.forwards(query.line - 1, _LINES_FROM)
        before = search.backwards(query.line, _LINES_BEFORE)
        lines = before.lines + after.lines
        return LogWindow(lines, before.reached, after.reached, not before.is_done, not after.is_done)
    if query.after is not None:
        found = search.forwards(query.after, size)
        return LogWindow(found.lines, query.after + 1, found.reached, query.after > 0, not found.is_done)
    found = search.backwards(query.before or search.last + 1, size)
    return LogWindow(
        found.lines,
        found.reached,
        search.last if query.before is None else query.before - 1,
        has_earlier=not found.is_done,
        has_later=query.before is not None,
    )


def _members[Kind: (Level, Step)](kind: type[Kind], given: Sequence[str]) -> tuple[Kind, ...]:
    """The members named in `given`, separated by commas, in their own order."""
    names = {word.strip().upper() for text in given for word in text.split(",")}
    return tuple(member for member in kind if member.name in names)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 18 else None
