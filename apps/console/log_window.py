"""Which lines of a log a page shows: the latest, those around a line, or a page before or after one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from apps.runs.logs.reading import Line, LineFilter, latest_lines, lines_after, lines_before
from apps.runs.models import Level, Run

PAGE_LINES = 500
# Of a page around a wanted line, how many stand before it.
_LINES_BEFORE = 100


@dataclass(frozen=True)
class LogQuestion:
    """What the address asks for."""

    # The least level, as in the API; empty = all.
    level: str
    text: str
    line: int | None
    before: int | None
    after: int | None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> LogQuestion:
        """Reads the query string; what makes no sense is passed over."""
        level = query.get("level", "")
        return cls(
            level=level if level.upper() in Level.names else "",
            text=query.get("q", "").strip()[:500],
            line=_number(query.get("line", "")),
            before=_number(query.get("before", "")),
            after=_number(query.get("after", "")),
        )

    @property
    def wanted(self) -> LineFilter:
        levels = [level for level in Level if level >= Level[self.level.upper()]] if self.level else []
        return LineFilter(levels=levels, text=self.text)

    @property
    def is_filtered(self) -> bool:
        return bool(self.level or self.text)

    def link(self, **change: int) -> str:
        """The address with the same filter and another place."""
        query: dict[str, str | int] = {"level": self.level, "q": self.text}
        # A lone "?" is the page without any query.
        return "?" + urlencode({key: value for key, value in (query | change).items() if value != ""})


@dataclass(frozen=True)
class LogWindow:
    """Some lines in order, and whether there are more on either side."""

    lines: list[Line]
    has_earlier: bool
    has_later: bool

    @property
    def first(self) -> int:
        return self.lines[0].sequence if self.lines else 0

    @property
    def last(self) -> int:
        return self.lines[-1].sequence if self.lines else 0


def read_window(run: Run, question: LogQuestion, size: int = PAGE_LINES) -> LogWindow:
    """The lines that the question asks for; each side costs one index range."""
    wanted = question.wanted
    if question.line is not None:
        before = lines_before(run, question.line, _LINES_BEFORE + 1, wanted)
        after = lines_after(run, question.line - 1, size - _LINES_BEFORE + 1, wanted)
        has_later = len(after) > size - _LINES_BEFORE
        return LogWindow(
            before[-_LINES_BEFORE:] + after[: size - _LINES_BEFORE], len(before) > _LINES_BEFORE, has_later
        )
    if question.before is not None:
        lines = lines_before(run, question.before, size + 1, wanted)
        return LogWindow(lines[-size:], len(lines) > size, has_later=True)
    if question.after is not None:
        lines = lines_after(run, question.after, size + 1, wanted)
        return LogWindow(lines[:size], question.after > 0, len(lines) > size)
    lines = latest_lines(run, size + 1, wanted)
    return LogWindow(lines[-size:], len(lines) > size, has_later=False)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 18 else None
