"""Leftovers: outcomes in the record file of a worker that is gone."""

from __future__ import annotations

from typing import Any

from apps.runs.log.bulk_insert import write_records
from apps.runs.log.record_file import Decision, RecordChunk, RecordFile, UndecidedKeys, rows_of
from apps.runs.log.stored_lines import last_stored_sequence
from apps.runs.models import Record, Run, Step
from apps.runs.records.tracking import OUTCOME_UNKNOWN

_NOT_PUSHED = "The worker died before the record was pushed."


def add_left_records(run: Run, file: RecordFile, *, since: int = 0, moved_by: int = 0) -> dict[str, Any]:
    """Writes the rest of the file to the database, in the caller's transaction; returns the changed columns of Run.

    Lines from number `since` on were renumbered by adding `moved_by`. Of the records that the worker was processing, it
    is not known whether the destination accepted them.
    """
    [offset] = Run.objects.filter(pk=run.pk).values_list("record_offset", flat=True)
    has_records = False
    while (chunk := file.read(offset)).end > offset:
        write_records(chunk.renumbered(since, moved_by) if moved_by else chunk)
        has_records |= bool(chunk.rows)
        offset = chunk.end
    sequence = last_stored_sequence(run) + 1
    for undecided in file.undecided():
        decision = _decision(run, undecided, sequence)
        write_records(RecordChunk(rows_of(run.pk, undecided.keys, decision), b"", 0))
        has_records = True
    return {"record_offset": offset} | ({"has_records": True} if has_records else {})


def _decision(run: Run, undecided: UndecidedKeys, sequence: int) -> Decision:
    outcome, message = Record.Outcome.PULLED, OUTCOME_UNKNOWN
    if run.is_dry_run:
        message = ""
    elif run.script_id and undecided.step == Step.PULL:
        # The script had not returned them.
        outcome, message = Record.Outcome.FAILED, _NOT_PUSHED
    return Decision(outcome, undecided.step, sequence, undecided.page, message=message)
