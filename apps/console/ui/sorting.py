"""Sorting of long lists: only by columns that an index serves."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest


class IndexedChangeList(ChangeList):
    """Change list that sorts by the columns of `sortable_by` only, also if the URL names another one."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        indexed = self.sortable_by or ()
        sortable = {str(index) for index, name in enumerate(self.list_display) if name in indexed}
        chosen = self.params.get(ORDER_VAR, "").split(".")
        if not all(part.removeprefix("-") in sortable for part in chosen):
            # The order of the list.
            self.params.pop(ORDER_VAR, None)
        return list(super().get_ordering(request, queryset))
