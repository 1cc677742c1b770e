"""Late lines: lines that arrive after their run was closed are appended to its log."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from apps.runs.execution.run_end import announce_run_end
from apps.runs.log.bulk_insert import write_lines
from apps.runs.log.line_format import parse_lines, renumbered, sequence_of
from apps.runs.log.spool import Spool
from apps.runs.log.stored_lines import append_lines, last_stored_sequence, stored_counts
from apps.runs.models import Level, LogEntry, Record, Run
from apps.runs.payloads.capture import shift_captured
from apps.runs.records.leftovers import ship_leftover_records

logger = logging.getLogger(__name__)


def add_late_lines(run_id: int, spool: Spool) -> int:
    """Appends the lines of the spool that are not in the database, renumbered, and updates the seal; returns their
    number.

    If the spool records that a lost run had reached its end, the run gets that status.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=run_id).first()
        if run is None:
            logger.warning(
                "A spool of %d lines belongs to run %d, which does not exist", spool.last_sequence(), run_id
            )
            return 0
        if run.is_open:
            return 0
        offset, first = _first_late(run, spool)
        count = spool.last_sequence() - first + 1 if offset is not None else 0
        changes = _complete_log(run, spool, offset, count)
        last = last_stored_sequence(run)
        moved_by = last - spool.last_sequence() if count else 0
        columns, missing = ship_leftover_records(run, spool, sequence=last, since=first, moved_by=moved_by)
        # Of a line that the worker did not write any more.
        Record.objects.filter(run=run, sequence__gt=last).update(sequence=last)
        outcome = _recorded_outcome(run, spool)
        changes |= columns | outcome
        if missing:
            changes |= {"is_complete": False, "lost_reason": missing}
        Run.objects.filter(pk=run.pk).update(**changes)
        if outcome:
            announce_run_end(run.pk)
    if count:
        shift_captured(run_id, since=first, by=moved_by)
        logger.warning("Run %d: %d late lines were added", run_id, count)
    return count


def _complete_log(run: Run, spool: Spool, offset: int | None, count: int) -> dict[str, Any]:
    """Appends the late lines, if there are any; returns the columns of the run that change."""
    has_lost_more = _note_losses(run, spool)
    changes: dict[str, Any] = {}
    if offset is not None:
        checksum = _append(run, spool, offset, count)
        changes = {**stored_counts(run), "log_checksum": checksum}
    elif has_lost_more:
        changes = stored_counts(run)
    elif run.lost_reason and not run.lost_line_count:
        # The spool shows that no line is missing.
        changes = {"is_complete": True, "lost_reason": ""}
    if changes and spool.omitted_count:
        changes["omitted_line_count"] = spool.omitted_count
    return changes


def _note_losses(run: Run, spool: Spool) -> bool:
    """Adds the lines that the disk did not take to the count of the run."""
    count, reason = spool.losses() or (0, "")
    if count <= run.lost_line_count:
        return False
    Run.objects.filter(pk=run.pk).update(lost_line_count=count, lost_reason=reason)
    return True


def _first_late(run: Run, spool: Spool) -> tuple[int | None, int]:
    """Offset and number of the first line that is not in the database; None if all are there."""
    offset = 0
    for chunk in spool.chunks():
        lines = list(parse_lines(chunk))
        stored = _stored(run, lines[0].sequence, lines[-1].sequence)
        for line, data in zip(lines, chunk.splitlines(keepends=True), strict=True):
            if stored.get(line.sequence) != (line.logged_at, line.message):
                return offset, line.sequence
            offset += len(data)
    return None, 0


def _stored(run: Run, first: int, last: int) -> dict[int, tuple[str, str]]:
    rows = LogEntry.objects.filter(run_id=run.pk, sequence__range=(first, last))
    return {
        sequence: (f"{logged_at:%Y-%m-%d %H:%M:%S.%f}", message)
        for sequence, logged_at, message in rows.values_list("sequence", "logged_at", "message")
    }


def _append(run: Run, spool: Spool, offset: int, count: int) -> int:
    """Appends the lines from `offset`; returns the checksum of the whole log."""
    lines = "line" if count == 1 else "lines"
    notice = f"{count:,} {lines} arrived late from the worker and follow here"
    checksum = zlib.crc32(append_lines(run, [(Level.WARNING, notice)]), run.log_checksum or 0)
    for chunk in _renumbered_from(spool, offset, last_stored_sequence(run) + 1):
        write_lines(chunk)
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def _renumbered_from(spool: Spool, offset: int, first: int) -> Iterator[bytes]:
    while chunk := spool.read(offset):
        offset += len(chunk)
        chunk = renumbered(chunk, first)
        yield chunk
        first = sequence_of(chunk[chunk.rfind(b"\n", 0, -1) + 1 :]) + 1


def _recorded_outcome(run: Run, spool: Spool) -> dict[str, Any]:
    """Outcome that the worker recorded, as columns of Run; a waiting retry is cancelled."""
    end = spool.end()
    if end is None or run.status != Run.Status.LOST:
        return {}
    if end["status"] != Run.Status.FAILED:
        for retry in run.retries.filter(status=Run.Status.QUEUED, due_at__isnull=False):
            retry.request_cancel()
    return {"status": end["status"], **end["counters"]}
