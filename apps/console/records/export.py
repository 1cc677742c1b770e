"""Columns of the CSV of records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from apps.console.ui.csv_export import ROWS_AT_ONCE, text_cell
from apps.runs.models import Record, Step
from apps.runs.models.record import RecordQuerySet

HEADER = (
    *("key", "outcome", "service", "run", "step", "page", "batch", "message"),
    *("log line", "recorded at (UTC)", "resolved by run"),
)
_COLUMNS = (
    *("key", "outcome", "run__service__slug", "run_id", "step", "page", "batch", "message"),
    *("sequence", "moment", "resolved_by"),
)
# Length of a time without fractions of a second.
_SECONDS = len("2026-01-31 09:05:00")
_OUTCOMES = {outcome.value: outcome.slug for outcome in Record.Outcome}
_STEPS = {step.value: step.slug for step in Step}


def record_rows(records: RecordQuerySet) -> Iterator[tuple[Any, ...]]:
    """The cells of each record, in the order of the records."""
    # As text: the database formats a time in a fraction of the time that it takes to parse one.
    moment = Cast("recorded_at", TextField())
    rows = records.with_resolution().annotate(moment=moment).values_list(*_COLUMNS)
    return map(_cells, rows.iterator(chunk_size=ROWS_AT_ONCE))


def _cells(row: tuple[Any, ...]) -> tuple[Any, ...]:
    key, outcome, service, run, step, page, batch, message, sequence, moment, resolved_by = row
    return (
        text_cell(key),
        _OUTCOMES[outcome],
        service,
        run,
        _STEPS[step],
        page or "",
        batch or "",
        text_cell(message),
        sequence or "",
        moment[:_SECONDS],
        resolved_by,
    )
