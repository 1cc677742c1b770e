"""Leftovers: outcomes in the record file of a worker that is gone or suspended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.db import DataError, IntegrityError, transaction

from apps.runs.log.bulk_insert import write_records
from apps.runs.log.record_file import Decision, RecordChunk, UndecidedKeys, rows_of
from apps.runs.log.spool import Spool
from apps.runs.models import Record, Run, Step
from apps.runs.records.tracking import OUTCOME_UNKNOWN

logger = logging.getLogger(__name__)

_NOT_PUSHED = "The worker died before the record was pushed."
_UNWRITTEN = "the disk did not take the outcomes of all records"


def ship_leftover_records(
    run: Run, spool: Spool, *, sequence: int, since: int = 0, moved_by: int = 0
) -> tuple[dict[str, Any], str]:
    """Writes the rest of the record file to the database, in the caller's transaction; returns the changed columns
    of Run, and what is missing.

    Lines from number `since` on were renumbered by adding `moved_by`. Of the records that the worker was processing, it
    is not known whether the destination accepted them; they get the line `sequence`.
    """
    try:
        with transaction.atomic():
            columns = _add(run, spool, sequence, since, moved_by)
    except (OSError, ValueError, DataError, IntegrityError):
        logger.exception("The record file of run %d cannot be shipped", run.pk)
        if spool.is_ours:
            spool.records.quarantine()
        return {}, "the record file is damaged"
    return columns, _UNWRITTEN if spool.has_unwritten_records else ""


def _add(run: Run, spool: Spool, sequence: int, since: int, moved_by: int) -> dict[str, Any]:
    [shipped] = Run.objects.filter(pk=run.pk).values_list("record_offset", flat=True)
    if moved_by:
        _renumber_shipped(run, spool, shipped, since, moved_by)
    offset, has_records = shipped, False
    for chunk in _chunks(run, spool, offset):
        write_records(chunk.renumbered(since, moved_by) if moved_by else chunk)
        has_records |= bool(chunk.rows)
        offset = chunk.end
    # Only a worker that has ended pushes nothing more, and only a complete file shows what it pushed.
    is_certain = spool.is_ours and not spool.has_unwritten_records and spool.records.size >= shipped
    for undecided in spool.records.undecided():
        decision = _decision(run, undecided, sequence, is_certain=is_certain)
        write_records(RecordChunk(rows_of(run.pk, undecided.keys, decision), b"", 0))
        has_records = True
    return {"record_offset": offset} | ({"has_records": True} if has_records else {})


def _chunks(run: Run, spool: Spool, offset: int) -> Iterator[RecordChunk]:
    while (chunk := spool.records.read(offset)).end > offset:
        chunk.check(run.pk)
        yield chunk
        offset = chunk.end


def _renumber_shipped(run: Run, spool: Spool, shipped: int, since: int, moved_by: int) -> None:
    """Renumbers outcomes that were shipped before their lines: those written while a batch was read."""
    if not Record.objects.filter(run=run, sequence__gte=since).exists():
        return
    for chunk in _chunks(run, spool, 0):
        for key, outcome, sequence in chunk.decisions():
            if sequence >= since:
                Record.objects.filter(run=run, key=key, outcome=outcome, sequence=sequence).update(
                    sequence=sequence + moved_by
                )
        if chunk.end >= shipped:
            return


def _decision(run: Run, undecided: UndecidedKeys, sequence: int, *, is_certain: bool) -> Decision:
    outcome, message = Record.Outcome.PULLED, OUTCOME_UNKNOWN
    if run.is_dry_run:
        message = ""
    elif run.script_id and undecided.step == Step.PULL and is_certain:
        # The script had not returned them.
        outcome, message = Record.Outcome.FAILED, _NOT_PUSHED
    return Decision(outcome, undecided.step, sequence, undecided.page, message=message)
