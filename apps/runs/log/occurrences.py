"""Occurrences of problems: counts the warnings and errors among new lines of a run by fingerprint."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from apps.runs.log.fingerprint import fingerprint, title_of
from apps.runs.log.line_format import unescape
from apps.runs.models import Run, RunProblem
from apps.runs.models.run_problem import OTHER

# Between time and step of a warning or an error in the format of the spool; messages contain no tabs.
_MARK = re.compile(rb"\+00\t([34]0)\t")
_UPDATED = ("level", "count", "last_sequence", "last_at", "message", "is_noted")


def add_occurrences(chunk: bytes) -> None:
    """Counts the warnings and errors of a spool chunk within the transaction that stores its lines.

    Each line is counted as often as it is stored: once. The caller is the only writer of the run, so that its rows are
    read before they are changed, and no other run waits for them.
    """
    if not _MARK.search(chunk):
        return
    run_id = int(chunk[: chunk.index(b"\t")])
    service_id = Run.objects.filter(pk=run_id).values_list("service_id", flat=True).first()
    if service_id is None:
        return
    known = {row.fingerprint: row for row in RunProblem.objects.filter(run_id=run_id)}
    changed: dict[str, RunProblem] = {}
    for sequence, logged_at, level, message in _lines(chunk):
        key = fingerprint(message)
        if key not in known and len(known) - (OTHER in known) >= RunProblem.MAX_PROBLEMS:
            key = OTHER
        row = known.get(key)
        if row is None:
            row = known[key] = RunProblem(
                run_id=run_id,
                fingerprint=key,
                service_id=service_id,
                level=level,
                count=0,
                first_sequence=sequence,
                first_at=_moment(logged_at),
            )
        row.count += 1
        row.level = max(row.level, level)
        row.last_sequence = sequence
        # Needed of the latest line only.
        row.message, row.latest_time = message, logged_at  # type: ignore[attr-defined]
        changed[key] = row
    _store(changed.values())


def _lines(chunk: bytes) -> Iterator[tuple[int, str, int, str]]:
    """Sequence, time, level and message of each warning and error."""
    for match in _MARK.finditer(chunk):
        start = chunk.rfind(b"\n", 0, match.start()) + 1
        _run, sequence, logged_at = chunk[start : match.start()].split(b"\t")
        # After the step, which is one digit.
        message = chunk[match.end() + 2 : chunk.index(b"\n", match.end())]
        yield int(sequence), logged_at.decode(), int(match[1]), unescape(message.decode())


def _store(rows: Collection[RunProblem]) -> None:
    for row in rows:
        row.message = title_of(row.message)
        row.last_at = _moment(row.latest_time)  # type: ignore[attr-defined]
        row.is_noted = row.fingerprint == OTHER
    RunProblem.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=("run_id", "fingerprint"), update_fields=_UPDATED
    )


def _moment(logged_at: str) -> datetime:
    return datetime.fromisoformat(logged_at).replace(tzinfo=UTC)
