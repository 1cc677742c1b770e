"""Cursor pagination of records, whose table has no service and hundreds of millions of rows."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan
from rest_framework.request import Request

from apps.api.queries.pagination import Cursor, ListPagination, row_comparison
from apps.api.serializers.fields import MAX_INTEGER
from apps.api.serializers.records import MAX_SEQUENCE
from apps.runs.models import Record
from apps.runs.records.payloads import load_runs


class RecordPagination(ListPagination):
    """Newest first, by run, log line and page.

    A cursor contains its position: the line of a record may change while its run is open. The view names the runs
    that the request may see and asks for, `get_runs()`.
    """

    ordering = ("-run_id", "-sequence", "-page", "-key")

    def key_of(self, row: Record) -> str:
        return f"{row.run_id}.{row.sequence}.{row.page}.{row.key}"

    def check_key(self, queryset: QuerySet[Any], key: str) -> None:
        _position(key)

    def is_after(
        self, queryset: QuerySet[Any], ordering: tuple[str, ...], key: str
    ) -> LessThan | GreaterThan:
        return row_comparison(ordering, [Value(value) for value in _position(key)])

    def read(self, rows: QuerySet[Any], count: int, cursor: Cursor | None, view: Any) -> list[Record]:
        runs = view.get_runs()
        request: Request = view.request
        if request.query_params.get("key") or request.query_params.get("run"):
            found = rows.filter(run__in=runs) if runs.query.where else rows
        else:
            # First the runs: no index finds the records of a service. Each of these runs has at least one.
            runs = runs.filter(Exists(rows.order_by().filter(run_id=OuterRef("pk"))), has_records=True)
            if cursor is not None:
                bound = "pk__gte" if cursor.is_backward else "pk__lte"
                runs = runs.filter(**{bound: _position(cursor.key)[0]})
            order = "pk" if cursor is not None and cursor.is_backward else "-pk"
            found = rows.filter(run_id__in=list(runs.order_by(order).values_list("pk", flat=True)[:count]))
        return load_runs(found[:count])


def _position(key: str) -> tuple[int, int, int, str]:
    """Run, log line, page and key of a record. Raises ValueError."""
    *numbers, rest = key.split(".", 3)
    run_id, sequence, page = map(int, numbers)
    if not (0 <= run_id <= MAX_INTEGER and 0 <= min(sequence, page) <= max(sequence, page) <= MAX_SEQUENCE):
        raise ValueError(key)
    if "\x00" in rest:
        raise ValueError(key)
    return run_id, sequence, page, rest
