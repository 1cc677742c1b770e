"""Adds lines that turn up after their run was closed: behind its last line, so that none is lost or doubled."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from apps.runs.execution.closing import append_lines, newest_sequence, stored_counts
from apps.runs.log.bulk_insert import write_lines
from apps.runs.log.spool import Spool, parse_lines, renumbered, sequence_of
from apps.runs.models import Level, LogEntry, Run
from apps.runs.payloads.capture import move_captured

logger = logging.getLogger(__name__)


def add_late_lines(run_id: int, spool: Spool) -> int:
    """Add the lines of the spool that the table has not, renumbered, and mend the seal; how many.

    Where the spool tells that a run which was closed as lost had come to its end, the run says so from now on.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=run_id).first()
        if run is None:
            logger.warning(
                "A spool of %d lines is of run %d, which is no more", spool.last_sequence(), run_id
            )
            return 0
        if run.is_open:
            return 0
        has_lost_more = _note_losses(run, spool)
        offset, first = _first_late(run, spool)
        count = spool.last_sequence() - first + 1 if offset is not None else 0
        moved_by = 0
        changes: dict[str, Any] = {}
        if offset is not None and count:
            checksum = _append(run, spool, offset, count)
            changes = {**stored_counts(run), "log_checksum": checksum}
            moved_by = newest_sequence(run) - spool.last_sequence()
        elif has_lost_more:
            changes = stored_counts(run)
        elif run.lost_reason and not run.lost_line_count:
            # It was not known whether there were more; now it is.
            changes = {"is_complete": True, "lost_reason": ""}
        if changes and spool.omitted_count:
            changes["omitted_line_count"] = spool.omitted_count
        changes |= _true_end(run, spool)
        Run.objects.filter(pk=run.pk).update(**changes)
    if count:
        move_captured(run_id, since=first, by=moved_by)
        logger.warning("Run %d: %d lines came late, and were added", run_id, count)
    return count


def _note_losses(run: Run, spool: Spool) -> bool:
    """Let the run tell of the lines that the disk did not take, if it does not yet."""
    count, reason = spool.losses() or (0, "")
    if count <= run.lost_line_count:
        return False
    Run.objects.filter(pk=run.pk).update(lost_line_count=count, lost_reason=reason)
    return True


def _first_late(run: Run, spool: Spool) -> tuple[int | None, int]:
    """Where the first line begins that the table has not, and its number; None where it has all."""
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
    """Write the lines from `offset` on behind the last; the checksum of the whole."""
    lines = "line" if count == 1 else "lines"
    notice = f"{count:,} {lines} that the worker had logged before came late, and follow here"
    checksum = zlib.crc32(append_lines(run, [(Level.WARNING, notice)]), run.log_checksum or 0)
    for chunk in _renumbered_from(spool, offset, newest_sequence(run) + 1):
        write_lines(chunk)
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def _renumbered_from(spool: Spool, offset: int, first: int) -> Iterator[bytes]:
    while chunk := spool.read(offset):
        offset += len(chunk)
        chunk = renumbered(chunk, first)
        yield chunk
        first = sequence_of(chunk[chunk.rfind(b"\n", 0, -1) + 1 :]) + 1


def _true_end(run: Run, spool: Spool) -> dict[str, Any]:
    """How the run ended if its worker knows better, as columns of Run; a retry that waits is called off."""
    end = spool.end()
    if end is None or run.status != Run.Status.LOST:
        return {}
    if end["status"] != Run.Status.FAILED:
        for retry in run.retries.filter(status=Run.Status.QUEUED, due_at__isnull=False):
            retry.request_cancel()
    return {"status": end["status"], **end["counters"]}
