"""Pages of long lists: nobody pages through millions of rows, so they are not counted."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

from apps.console.run_list import MOST_COUNTED


class CappedPaginator(Paginator):  # type: ignore[type-arg] # It takes no parameter at run time.
    """Has pages for the first MOST_COUNTED rows, and knows whether there are more."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, MOST_COUNTED)

    @property
    def is_capped(self) -> bool:
        return self._counted > MOST_COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment] # The admin hands in a queryset.
        return rows.order_by().values("pk")[: MOST_COUNTED + 1].count()
