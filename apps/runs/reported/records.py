"""Reports of what became of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction

from apps.runs.log.bulk_insert import write_records
from apps.runs.log.record_file import Decision, RecordChunk, rows_of
from apps.runs.log.text import clean_message
from apps.runs.models import Record, Run, Step
from apps.runs.records.tracking import short_message
from apps.runs.reported.reporting import check_not_lost, check_open, check_reporter, locked_run, renew

_STEPS = {Record.Outcome.PULLED: Step.PULL, Record.Outcome.DROPPED: Step.SCRIPT}


class ReportedRecord(NamedTuple):
    """One record; its key is that of `key_text`."""

    key: str
    outcome: Record.Outcome
    message: str
    # Log line; None = the last one.
    sequence: int | None


def append_records(run: Run, user: Any, records: Sequence[ReportedRecord]) -> Run:
    """Stores the outcomes, and renews the lease; returns the run.

    Of several outcomes of a record the worst counts, so that a batch can be repeated, even after the end of the run.
    Raises ReportEnded; then nothing is written.
    """
    check_reporter(run, user)
    with transaction.atomic():
        current = locked_run(run)
        check_not_lost(current)
        fresh = _fresh(current, records) if run.service.track_records else {}
        if fresh:
            check_open(current)
            _write(current, fresh)
        elif current.is_open:
            renew(current)
    return current


def _fresh(run: Run, records: Sequence[ReportedRecord]) -> dict[str, ReportedRecord]:
    """By key, the records that are new, or worse than stored."""
    worst: dict[str, ReportedRecord] = {}
    for record in records:
        if record.key not in worst or record.outcome < worst[record.key].outcome:
            worst[record.key] = record
    stored = dict(Record.objects.filter(run=run, key__in=worst).values_list("key", "outcome"))
    return {key: record for key, record in worst.items() if key not in stored or record.outcome < stored[key]}


def _write(run: Run, records: dict[str, ReportedRecord]) -> None:
    keys: dict[Decision, list[str]] = defaultdict(list)
    for key, outcome, message, sequence in records.values():
        decision = Decision(
            outcome,
            _STEPS.get(outcome, Step.PUSH),
            run.line_count if sequence is None else sequence,
            page=0,
            message=short_message(clean_message(message)),
        )
        keys[decision].append(key)
    rows = b"".join(rows_of(run.pk, some, decision) for decision, some in keys.items())
    write_records(RecordChunk(rows, b"", 0))
    # A refused record is worse than any other, so it is counted once.
    refused = sum(record.outcome is Record.Outcome.REFUSED for record in records.values())
    renew(run, has_records=True, refused_count=run.refused_count + refused)
