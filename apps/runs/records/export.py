"""Export of records as CSV, streamed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import batched
from typing import Any

from django.db import transaction
from django.db.models import TextField
from django.db.models.functions import Cast

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
_ROWS_AT_ONCE = 5000
# Length of a time without fractions of a second.
_SECONDS = len("2026-01-31 09:05:00")
_OUTCOMES = {outcome.value: outcome.slug for outcome in Record.Outcome}
_STEPS = {step.value: step.slug for step in Step}
# A spreadsheet would run a cell that begins with one of these as a formula; so says OWASP, “CSV Injection”.
_FORMULA_STARTS = frozenset("=+-@\t\r")


def csv_chunks(records: RecordQuerySet) -> Iterator[bytes]:
    """The records in their order, with a header and a byte order mark, by which Excel recognizes UTF-8.

    Memory is constant: the rows come from a cursor of the server, which needs a transaction.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADER)
    yield b"\xef\xbb\xbf" + _taken(buffer)
    # As text: the database formats a time in a fraction of the time that it takes to parse one.
    moment = Cast("recorded_at", TextField())
    rows = records.with_resolution().annotate(moment=moment).values_list(*_COLUMNS)
    with transaction.atomic():
        for some in batched(rows.iterator(chunk_size=_ROWS_AT_ONCE), _ROWS_AT_ONCE):
            writer.writerows(map(_cells, some))
            yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return data


def _cells(row: tuple[Any, ...]) -> tuple[Any, ...]:
    key, outcome, service, run, step, page, batch, message, sequence, moment, resolved_by = row
    return (
        f"'{key}" if key[:1] in _FORMULA_STARTS else key,
        _OUTCOMES[outcome],
        service,
        run,
        _STEPS[step],
        page or "",
        batch or "",
        f"'{message}" if message[:1] in _FORMULA_STARTS else message,
        sequence or "",
        moment[:_SECONDS],
        resolved_by,
    )
