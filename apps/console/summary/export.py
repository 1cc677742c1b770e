"""The runs of a summary as rows of a CSV file."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from apps.console.summary.run_list import RunQuery, run_ranges
from apps.console.ui.csv_export import read_rows
from apps.services.models import Service

RUN_COLUMNS = (
    ("run", "id"),
    ("service", "service__slug"),
    ("status", "status"),
    ("trigger", "trigger"),
    ("attempt", "attempt"),
    ("started by", "started_by__username"),
    ("dry run", "is_dry_run"),
    ("queued at (UTC)", "queued_at"),
    ("started at (UTC)", "started_at"),
    ("finished at (UTC)", "finished_at"),
    ("pulled", "pulled_count"),
    ("pushed", "pushed_count"),
    ("refused", "refused_count"),
    ("warnings", "warning_count"),
    ("errors", "error_count"),
    ("error", "error"),
)
RUN_HEADER = [header for header, _field in RUN_COLUMNS]
_QUEUED_AT, _STARTED_AT = RUN_HEADER.index("queued at (UTC)"), RUN_HEADER.index("started at (UTC)")


def run_rows(service: Service, query: RunQuery, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The cells of each run, in the order of the list."""
    rows = (read_rows(runs, RUN_COLUMNS) for runs in run_ranges(service, query, now))
    return heapq.merge(*rows, key=_moment, reverse=not query.is_oldest_first)


def _moment(row: tuple[Any, ...]) -> str:
    return str(row[_STARTED_AT] or row[_QUEUED_AT])
