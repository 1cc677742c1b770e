"""CSV of a list: the filtered rows, streamed in constant memory, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

if TYPE_CHECKING:
    # Django's classes take a type parameter for the type checker only.
    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = object

ROWS_AT_ONCE = 5000
# Length of a time without its offset.
_SECONDS = len("2026-01-31 09:05:00")
# A spreadsheet would run a cell that begins with one of these as a formula; so says OWASP, “CSV Injection”.
_FORMULA_STARTS = frozenset("=+-@\t\r")


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """A download named `name`, date and time; `rows` are read while it is sent."""
    return StreamingHttpResponse(
        csv_chunks(header, rows),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}-{timezone.now():%Y-%m-%d-%H%M%S}.csv"'
        },
    )


def csv_chunks(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The rows below their header, with a byte order mark, by which Excel recognizes UTF-8.

    Memory is constant if the rows come from a cursor of the server, which needs a transaction.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    yield b"\xef\xbb\xbf" + _taken(buffer)
    with transaction.atomic():
        for some in batched(rows, ROWS_AT_ONCE):
            writer.writerows(some)
            yield _taken(buffer)


def read_rows(rows: QuerySet[Any], columns: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The cells of each row; a column is its header, its field and perhaps a function of the value."""
    fields = [field for _header, field, *_function in columns]
    functions = [function[0] if function else cell for _header, _field, *function in columns]
    for values in rows.values_list(*fields).iterator(chunk_size=ROWS_AT_ONCE):
        yield tuple(function(value) for function, value in zip(functions, values, strict=True))


def cell(value: Any) -> Any:
    """A value for a cell: times in UTC, nothing that a spreadsheet would run."""
    match value:
        case str():
            return text_cell(value)
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            # Faster than a format.
            return value.astimezone(UTC).isoformat(" ", "seconds")[:_SECONDS]
        case list():
            return text_cell(", ".join(map(str, value)))
    return value


def text_cell(text: str) -> str:
    """The text; quoted if a spreadsheet would run it as a formula."""
    return f"'{text}" if text[:1] in _FORMULA_STARTS else text


def _taken(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return data


class CsvExport(_ModelAdmin):
    """Adds the URL `csv/` to a list: its rows with the same search, filters, order and visibility."""

    # Name of the file, and columns as in `read_rows`.
    csv_name: str
    csv_columns: tuple[tuple[Any, ...], ...]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_csv"
        view = self.admin_site.admin_view(require_safe(self.csv_view))
        return [path("csv/", view, name=name), *super().get_urls()]

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            # The list shows what it ignores.
            return HttpResponseRedirect(
                reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist") + "?e=1"
            )
        header = [column[0] for column in self.csv_columns]
        return csv_response(self.csv_name, header, read_rows(rows, self.csv_columns))


def with_csv_export(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    """The class with a CSV export if it has `csv_columns`."""
    if not hasattr(admin_class, "csv_columns"):
        return admin_class
    return type(admin_class.__name__, (CsvExport, admin_class), {"__module__": admin_class.__module__})
