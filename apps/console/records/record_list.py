"""One page of records, newest first: index ranges, no OFFSET."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from apps.console.records.query import Position
from apps.runs.models import Payload, Record
from apps.runs.models.record import RecordQuerySet
from apps.runs.records.payloads import load_runs, payloads_of

PAGE_SIZE = 50


@dataclass(frozen=True)
class RecordPage:
    """Records of one page, with their runs and services."""

    records: list[Record]
    # Place of the last record; None = last page.
    next_before: Position | None
    payloads: dict[tuple[str, int], list[Payload]] = field(default_factory=dict)


def list_records(records: RecordQuerySet, before: Position | None, *, has_payloads: bool) -> RecordPage:
    """The page after the position; `records` are those of `RecordQuery.records`."""
    found: list[Record] = []
    for part in _parts(records.with_resolution(), before):
        found += part[: PAGE_SIZE + 1 - len(found)]
        if len(found) > PAGE_SIZE:
            break
    has_more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    next_before = Position.of(found[-1]) if has_more else None
    found = load_runs(found)
    return RecordPage(found, next_before, payloads_of(found) if has_payloads else {})


def _parts(records: RecordQuerySet, before: Position | None) -> Iterator[RecordQuerySet]:
    """The rest of the page, of the log line, of the run, and the earlier runs: one condition for all would read a
    run from its end.
    """
    if before is None:
        yield records
        return
    of_run = records.filter(run_id=before.run_id)
    of_line = of_run.filter(sequence=before.sequence)
    yield of_line.filter(page=before.page, key__gt=before.key)
    yield of_line.filter(page__lt=before.page)
    yield of_run.filter(sequence__lt=before.sequence)
    yield records.filter(run_id__lt=before.run_id)
