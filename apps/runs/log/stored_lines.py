"""Lines of a run in the database: appends lines without a spool, counts what is stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django.db.models import Count

from apps.runs.log.bulk_insert import write_lines
from apps.runs.log.line_format import format_line, time_text
from apps.runs.models import Level, LogEntry, Run, Step


def append_lines(run: Run, lines: Sequence[tuple[Level, str]]) -> bytes:
    """Appends lines of the step "finish" to the log in the database; returns their bytes in the format of the
    spool.
    """
    first = last_stored_sequence(run) + 1
    now = time_text(time.time())
    chunk = b"".join(
        format_line(run.pk, sequence, now, level, Step.FINISH, message)
        for sequence, (level, message) in enumerate(lines, first)
    )
    write_lines(chunk)
    return chunk


def stored_counts(run: Run) -> dict[str, Any]:
    """Columns of Run that follow from the stored lines: lines, warnings, errors, and the first error."""
    lines = LogEntry.objects.filter(run_id=run.pk)
    by_level = dict(lines.values_list("level").annotate(count=Count("sequence")))
    stored = sum(by_level.values())
    # Lines that the disk did not take have no number; the worker has counted them.
    [(counted, reason)] = Run.objects.filter(pk=run.pk).values_list("lost_line_count", "lost_reason")
    lost = max(last_stored_sequence(run) - stored, counted)
    counts: dict[str, Any] = {
        "line_count": stored,
        "warning_count": by_level.get(Level.WARNING, 0),
        "error_count": by_level.get(Level.ERROR, 0),
        "lost_line_count": lost,
        "lost_reason": (reason if counted else "they are not in the database") if lost else "",
        "is_complete": not lost,
    }
    first = lines.filter(level=Level.ERROR).order_by("sequence").first() if counts["error_count"] else None
    if first is not None:
        counts |= {"error": first.message.partition("\n")[0][:500], "error_sequence": first.sequence}
    return counts


def last_stored_sequence(run: Run) -> int:
    """Number of the last line in the database, 0 if there is none."""
    newest = LogEntry.objects.filter(run_id=run.pk).order_by("-sequence").values_list("sequence", flat=True)
    return newest.first() or 0
