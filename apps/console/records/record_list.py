"""One page of records, newest or oldest first: index ranges, no OFFSET."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from apps.console.records.query import Position, RecordQuery
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


def list_records(records: RecordQuerySet, query: RecordQuery, *, has_payloads: bool) -> RecordPage:
    """The page after the position of the query; `records` are those of `RecordQuery.records`."""
    found: list[Record] = []
    for part in _parts(records.with_resolution(), query.before, "gt" if query.is_oldest_first else "lt"):
        found += part[: PAGE_SIZE + 1 - len(found)]
        if len(found) > PAGE_SIZE:
            break
    has_more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    next_before = Position.of(found[-1]) if has_more else None
    found = load_runs(found)
    return RecordPage(found, next_before, payloads_of(found) if has_payloads else {})


def _parts(records: RecordQuerySet, before: Position | None, beyond: str) -> Iterator[RecordQuerySet]:
    """The rest of the page, of the log line, of the run, and the runs beyond ("lt" or "gt"): one condition for all
    would read a run from its end.
    """
    if before is None:
        yield records
        return
    of_run = records.filter(run_id=before.run_id)
    of_line = of_run.filter(sequence=before.sequence)
    yield of_line.filter(page=before.page, key__gt=before.key)
    yield of_line.filter(**{f"page__{beyond}": before.page})
    yield of_run.filter(**{f"sequence__{beyond}": before.sequence})
    yield records.filter(**{f"run_id__{beyond}": before.run_id})
