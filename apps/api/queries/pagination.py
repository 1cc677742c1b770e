"""Cursor pagination: `{"next", "previous", "results"}`.

DRF's CursorPagination compares the first field of the ordering only: rows with equal values need OFFSET, and the
value goes through the cursor as text, which SQLite does not compare with stored times. Here the database compares
whole rows, so that every page is a range of an index.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Field, Func, QuerySet, Subquery, Value
from django.db.models.lookups import GreaterThan, LessThan
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.api.serializers.fields import WholeNumberField

CURSOR = "cursor"
LIMIT = "limit"
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 500


@dataclass(frozen=True)
class Cursor:
    """The row next to which a page begins, usually its primary key, and the direction."""

    key: str
    is_backward: bool

    def encode(self) -> str:
        return urlsafe_b64encode(f"{'<' if self.is_backward else '>'}{self.key}".encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises ValueError if `text` is not a cursor."""
        direction_and_key = urlsafe_b64decode(text.encode("ascii")).decode()
        if direction_and_key[:1] not in ("<", ">"):
            raise ValueError("A cursor begins with its direction.")
        return cls(direction_and_key[1:], direction_and_key[0] == "<")


class ListPagination(BasePagination):
    """Pages of 50 results, or up to 500 with `limit`. `ordering` ends with the primary key."""

    ordering: tuple[str, ...]

    def get_ordering(self, request: Request) -> tuple[str, ...]:
        return self.ordering

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        limit = page_limit(request)
        cursor = self.cursor_of(request, queryset)
        is_backward = cursor is not None and cursor.is_backward
        ordering = self.get_ordering(request)
        if is_backward:
            ordering = _reverse(ordering)
        rows = queryset.filter(self.is_after(queryset, ordering, cursor.key)) if cursor else queryset
        found = self.read(rows.order_by(*ordering), limit + 1, cursor, view)
        has_more = len(found) > limit
        page = found[:limit]
        if is_backward:
            page.reverse()
        self.set_links(request, page, cursor, has_more=has_more)
        return page

    def set_links(self, request: Request, page: list[Any], cursor: Cursor | None, *, has_more: bool) -> None:
        """Remembers the rows that `next` and `previous` name."""
        is_backward = cursor is not None and cursor.is_backward
        self.url = request.build_absolute_uri()
        self.last_row = page[-1] if page and (has_more or is_backward) else None
        self.first_row = page[0] if page and (has_more if is_backward else cursor) else None

    def key_of(self, row: Any) -> str:
        """Text of a cursor for this row."""
        return str(row.pk)

    def check_key(self, queryset: QuerySet[Any], key: str) -> None:
        """Raises ValueError or ValidationError for an invalid text of a cursor."""
        queryset.model._meta.pk.to_python(key)
        if not queryset.filter(pk=key).exists():
            raise ValueError(key)

    def is_after(
        self, queryset: QuerySet[Any], ordering: tuple[str, ...], key: str
    ) -> LessThan | GreaterThan:
        """Condition for the rows after the one of the cursor."""
        row = queryset.filter(pk=key)
        fields = [field.removeprefix("-") for field in ordering]
        return row_comparison(
            ordering,
            [
                Value(key, queryset.model._meta.pk) if field == "pk" else Subquery(row.values(field)[:1])
                for field in fields
            ],
        )

    def read(self, rows: QuerySet[Any], count: int, cursor: Cursor | None, view: Any) -> list[Any]:
        """The first `count` of the rows after the cursor."""
        return list(rows[:count])

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link(self.last_row, is_backward=False),
                "previous": self._link(self.first_row, is_backward=True),
                "results": data,
            }
        )

    def _link(self, row: Any, *, is_backward: bool) -> str | None:
        if row is None:
            return None
        cursor = Cursor(self.key_of(row), is_backward)
        return str(replace_query_param(self.url, CURSOR, cursor.encode()))

    def cursor_of(self, request: Request, queryset: QuerySet[Any]) -> Cursor | None:
        """The cursor of the request. Raises ValidationError if it is invalid, or its row is not in the queryset."""
        text = request.query_params.get(CURSOR)
        if not text:
            return None
        try:
            cursor = Cursor.decode(text)
            self.check_key(queryset, cursor.key)
        except (ValueError, DjangoValidationError):
            raise ValidationError(
                {CURSOR: [_("Invalid cursor; use `next` or `previous` unchanged.")]}
            ) from None
        return cursor

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": CURSOR,
                "in": "query",
                "description": "Start of the page, as in `next` and `previous`.",
                "schema": {"type": "string"},
            },
            {
                "name": LIMIT,
                "in": "query",
                "description": "Maximum number of results in a page.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MAX_LIMIT,
                    "default": _DEFAULT_LIMIT,
                },
            },
        ]


class ServicePagination(ListPagination):
    """By slug."""

    ordering = ("slug", "pk")


class RunPagination(ListPagination):
    """Newest first by number, or by start if the query filters by start, so that each page is an index range."""

    ordering = ("-pk",)

    def get_ordering(self, request: Request) -> tuple[str, ...]:
        is_by_start = any(request.query_params.get(name) for name in ("started_after", "started_before"))
        return ("-started_at", "-pk") if is_by_start else self.ordering


class PayloadPagination(ListPagination):
    """Newest first; the payloads of one run in the order of the log."""

    ordering = ("-created_at", "-pk")

    def get_ordering(self, request: Request) -> tuple[str, ...]:
        return ("created_at", "pk") if request.query_params.get("run") else self.ordering


class ProblemPagination(ListPagination):
    """Those that occurred last first."""

    ordering = ("-last_seen_at", "-pk")


class IncidentPagination(ListPagination):
    """Newest first."""

    ordering = ("-opened_at", "-pk")


class DeliveryPagination(ListPagination):
    """Newest first."""

    ordering = ("-created_at", "-pk")


def page_limit(request: Request) -> int:
    """Results in a page. Raises ValidationError."""
    value = request.query_params.get(LIMIT)
    if not value:
        return _DEFAULT_LIMIT
    try:
        return int(WholeNumberField(min_value=1, max_value=_MAX_LIMIT).run_validation(value))
    except ValidationError as error:
        raise ValidationError({LIMIT: error.detail}) from None


def _reverse(ordering: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(field[1:] if field.startswith("-") else f"-{field}" for field in ordering)


def row_comparison(ordering: tuple[str, ...], position: Sequence[Any]) -> LessThan | GreaterThan:
    """Condition for the rows after this position."""
    comparison = LessThan if ordering[0].startswith("-") else GreaterThan
    return comparison(_Row(*(field.removeprefix("-") for field in ordering)), _Row(*position))


class _Row(Func):
    """A row value `(a, b)`; databases compare such values field by field."""

    function = ""
    output_field = Field()
