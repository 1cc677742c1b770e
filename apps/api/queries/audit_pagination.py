"""Cursor pagination of the audit log, whose entries come from several tables."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from apps.api.queries.pagination import ListPagination, page_limit
from apps.audit.trail import Entry, Position, read_page


class AuditPagination(ListPagination):
    """Newest first. A cursor contains its position. The view names what the request asks for, `get_filters()`."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        cursor = self.cursor_of(request, queryset)
        page = read_page(
            view.get_filters(),
            request.user,
            Position.from_text(cursor.key) if cursor else None,
            is_backward=cursor is not None and cursor.is_backward,
            limit=page_limit(request),
        )
        self.set_links(request, page.entries, cursor, has_more=page.has_more)
        return page.entries

    def key_of(self, row: Entry) -> str:
        return str(row.position)

    def check_key(self, queryset: QuerySet[Any], key: str) -> None:
        Position.from_text(key)
