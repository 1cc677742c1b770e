"""Export of records as CSV, streamed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import batched
from typing import Any

from django.db import transaction

from apps.runs.models import Record, Step
from apps.runs.models.record import RecordQuerySet

HEADER = (
    *("key", "outcome", "service", "run", "step", "page", "batch", "message"),
    *("log line", "recorded at (UTC)", "resolved by run"),
)
_COLUMNS = (
    *("key", "outcome", "run__service__slug", "run_id", "step", "page", "batch", "message"),
    *("sequence", "recorded_at", "resolved_by"),
)
_ROWS_AT_ONCE = 5000
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
    rows = records.with_resolution().values_list(*_COLUMNS)
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
    key, outcome, service, run, step, page, batch, message, sequence, recorded_at, resolved_by = row
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
        _moment(recorded_at),
        resolved_by,
    )


# The records of a batch have the same time.
@lru_cache(maxsize=4096)
def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
