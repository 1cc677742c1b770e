"""Cursor pagination: `{"next", "previous", "results"}`."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
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

from apps.api.fields import WholeNumberField

CURSOR = "cursor"
LIMIT = "limit"
_USUAL_LIMIT = 50
_MOST_RESULTS = 500


@dataclass(frozen=True)
class Cursor:
    """The row beside which a page begins, and the direction."""

    key: str
    is_back: bool

    def encode(self) -> str:
        return urlsafe_b64encode(f"{'<' if self.is_back else '>'}{self.key}".encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises ValueError if `text` is not a cursor."""
        plain = urlsafe_b64decode(text.encode("ascii")).decode()
        if plain[:1] not in ("<", ">"):
            raise ValueError("A cursor begins with its direction.")
        return cls(plain[1:], plain[0] == "<")


class ListPagination(BasePagination):
    """50 results a page, up to 500 with `limit`; an invalid parameter is an error.

    The database compares rows with the row of the cursor: a time that went through JSON need not equal the stored
    one (SQLite stores milliseconds as text). `ordering` ends with the primary key.
    """

    ordering: tuple[str, ...]

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        return self.ordering

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        limit = _limit(request)
        cursor = _cursor(request, queryset)
        ordering = self.ordering_of(request)
        rows = queryset
        if cursor:
            ordering = _turned(ordering) if cursor.is_back else ordering
            rows = rows.filter(_after(queryset, ordering, cursor.key))
        found = list(rows.order_by(*ordering)[: limit + 1])
        has_more = len(found) > limit
        page = found[:limit]
        is_back = cursor is not None and cursor.is_back
        if is_back:
            page.reverse()
        self.url = request.build_absolute_uri()
        self.next = page[-1] if page and (has_more or is_back) else None
        self.previous = page[0] if page and (has_more if is_back else cursor) else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link(self.next, is_back=False),
                "previous": self._link(self.previous, is_back=True),
                "results": data,
            }
        )

    def _link(self, row: Any, *, is_back: bool) -> str | None:
        return row and str(replace_query_param(self.url, CURSOR, Cursor(str(row.pk), is_back).encode()))

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
                    "maximum": _MOST_RESULTS,
                    "default": _USUAL_LIMIT,
                },
            },
        ]


class ServicePagination(ListPagination):
    """By slug."""

    ordering = ("slug", "pk")


class RunPagination(ListPagination):
    """Newest first by number, or by start if the query filters by start, so that an index contains the page."""

    ordering = ("-pk",)

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        by_start = any(request.query_params.get(name) for name in ("started_after", "started_before"))
        return ("-started_at", "-pk") if by_start else self.ordering


class PayloadPagination(ListPagination):
    """Newest first; the payloads of one run in the order of the log."""

    ordering = ("-created_at", "-pk")

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        return ("created_at", "pk") if request.query_params.get("run") else self.ordering


def _limit(request: Request) -> int:
    given = request.query_params.get(LIMIT)
    if not given:
        return _USUAL_LIMIT
    try:
        return int(WholeNumberField(least=1, most=_MOST_RESULTS).run_validation(given))
    except ValidationError as error:
        raise ValidationError({LIMIT: error.detail}) from None


def _cursor(request: Request, queryset: QuerySet[Any]) -> Cursor | None:
    """The cursor, if its row exists: a client can write anything."""
    given = request.query_params.get(CURSOR)
    if not given:
        return None
    try:
        cursor = Cursor.decode(given)
        queryset.model._meta.pk.to_python(cursor.key)
        if queryset.filter(pk=cursor.key).exists():
            return cursor
    except (ValueError, DjangoValidationError):
        pass
    raise ValidationError({CURSOR: [_("Invalid cursor; use `next` or `previous` unchanged.")]})


def _turned(ordering: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(field[1:] if field.startswith("-") else f"-{field}" for field in ordering)


def _after(queryset: QuerySet[Any], ordering: tuple[str, ...], key: str) -> LessThan | GreaterThan:
    """The rows after the one with this key, compared as a tuple so that the index is used."""
    fields = [field.removeprefix("-") for field in ordering]
    found = queryset.filter(pk=key)
    place = [
        Value(key, queryset.model._meta.pk) if field == "pk" else Subquery(found.values(field)[:1])
        for field in fields
    ]
    comparison = LessThan if ordering[0].startswith("-") else GreaterThan
    return comparison(_Row(*fields), _Row(*place))


class _Row(Func):
    """A tuple of values, which databases compare one after the other."""

    function = ""
    output_field = Field()
