"""Payloads of records: finds the stored files that contain a record."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from django.db import connection
from django.db.models.expressions import RawSQL

from apps.runs.models import Payload, Record, Run
from apps.services.models import Connection

_NAME = re.compile(r"(pull|script|push)-page-(\d+)(?:-batch-(\d+))?(?:-(input|output|request|response))?\.")
# Sorts after everything that may follow, in any collation.
_END = "zz"
_ROLES = ("", "input", "output", "request", "response")

# The first and the last name of each range: input and output, request and response, or the nearest page.
_FIRST_AND_LAST = """
WITH wanted (run_id, first, beyond) AS (VALUES {values})
SELECT ({one} ORDER BY name LIMIT 1) FROM wanted
UNION ALL
SELECT ({one} ORDER BY name DESC LIMIT 1) FROM wanted
"""
_ONE = """SELECT id FROM {table} WHERE run_id = wanted.run_id AND name >= wanted.first AND name < wanted.beyond
    AND status <> 'pending'"""


class _Place(NamedTuple):
    """What the name of a payload says."""

    kind: str
    page: int
    batch: int
    role: str


def payloads_of(records: Sequence[Record]) -> dict[tuple[str, int], list[Payload]]:
    """The payloads that contain each of these records, by its primary key, with their `state`; takes one query.

    The runs of the records must be loaded, see `load_runs`. Reporters name their files as they like, so records of
    reported runs have no payloads here.
    """
    ranges = set(chain.from_iterable(map(_ranges, records)))
    if not ranges:
        return {}
    by_run: dict[int, dict[_Place, Payload]] = defaultdict(dict)
    for payload in Payload.objects.listed().with_state().filter(pk__in=_first_and_last(ranges)):
        if (match := _NAME.match(payload.name)) is not None:
            kind, page, batch, role = match.groups(default="")
            by_run[payload.run_id][_Place(kind, int(page), int(batch or 0), role)] = payload
    return {record.pk: list(_chosen(record, by_run[record.run_id])) for record in records}


def load_runs(records: Iterable[Record]) -> list[Record]:
    """The records with their runs, services and connections; those of a run that was just deleted are left out.

    A join would lead the planner away from the index of the records.
    """
    found = list(records)
    runs = Run.objects.select_related("service__source_connection", "service__destination_connection")
    by_id: dict[Any, Run] = runs.in_bulk({record.run_id for record in found})
    for record in found:
        if record.run_id in by_id:
            record.run = by_id[record.run_id]
    return [record for record in found if record.run_id in by_id]


def _ranges(record: Record) -> Iterator[tuple[int, str, str]]:
    """Run, first name, and the end of the names."""
    page, batch, service = record.page, record.batch, record.run.service
    if not page:
        return
    pull = f"pull-page-{page:05d}"
    yield record.run_id, "pull-page-" if _is_file(service.source_connection) else pull, pull + _END
    if record.run.script_id:
        script = f"script-page-{page:05d}"
        yield record.run_id, script, script + _END
    if batch:
        push = f"push-page-{page:05d}-batch-{batch:05d}"
        is_file = _is_file(service.destination_connection)
        yield record.run_id, push, ("push-page-" if is_file else push) + _END


def _chosen(record: Record, payloads: dict[_Place, Payload]) -> Iterator[Payload]:
    for kind, page, batch in (
        ("pull", _pull_page(record, payloads), 0),
        ("script", record.page, 0),
        ("push", _push_page(record, payloads), record.batch),
    ):
        for role in _ROLES:
            payload = payloads.get(_Place(kind, page, batch, role))
            if payload is not None and not (role == "output" and record.outcome == Record.Outcome.DROPPED):
                yield payload


def _pull_page(record: Record, payloads: dict[_Place, Payload]) -> int:
    """A file has one payload, that of its first page."""
    if not _is_file(record.run.service.source_connection):
        return record.page
    pages = (place.page for place in payloads if place.kind == "pull" and place.page <= record.page)
    return max(pages, default=0)


def _push_page(record: Record, payloads: dict[_Place, Payload]) -> int:
    """A file for the whole run has one payload, that of its last page."""
    if not _is_file(record.run.service.destination_connection):
        return record.page
    pages = (
        place.page
        for place, payload in payloads.items()
        if place.kind == "push" and place.page >= record.page and payload.sequence == record.sequence
    )
    return min(pages, default=0)


def _first_and_last(ranges: Iterable[tuple[int, str, str]]) -> RawSQL:
    rows = list(ranges)
    one = _ONE.format(table=connection.ops.quote_name(Payload._meta.db_table))
    sql = _FIRST_AND_LAST.format(values=", ".join(["(%s, %s, %s)"] * len(rows)), one=one)
    return RawSQL(sql, tuple(chain.from_iterable(rows)))  # noqa: S611 - our own names


def _is_file(side: Connection | None) -> bool:
    return side is not None and side.kind == Connection.Kind.FILE
