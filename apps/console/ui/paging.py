"""Paginator for long lists, which counts at most MAX_COUNT rows."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

# Rows of a list that are counted and can be paged through.
MAX_COUNT = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg] # It takes no parameter at run time.
    """Paginator with pages for the first MAX_COUNT rows, which knows whether there are more."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, MAX_COUNT)

    @property
    def is_capped(self) -> bool:
        return self._counted > MAX_COUNT

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment] # The admin hands in a queryset.
        return rows.order_by().values("pk")[: MAX_COUNT + 1].count()
