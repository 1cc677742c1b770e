"""Pages of lists: `{"next", "previous", "results"}`, by cursor, so that what is added meanwhile shifts nothing."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from apps.api.fields import WholeNumberField


class ListPagination(CursorPagination):
    """50 a page, up to 500 with `limit`; a parameter that is no use is an error, not ignored."""

    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "Results in a page, from 1 to 500."
    max_page_size = 500
    cursor_query_description = "Where the page starts: as `next` and `previous` hold it."

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get(self.page_size_query_param)
        if given is None:
            return self.page_size
        try:
            return int(WholeNumberField(least=1, most=self.max_page_size).run_validation(given))
        except ValidationError as error:
            raise ValidationError({self.page_size_query_param: error.detail}) from None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        self.ordering = self.ordering_of(request)
        self.position_field = queryset.model._meta.get_field(self.ordering[0].lstrip("-"))
        return super().paginate_queryset(queryset, request, view)

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        raise NotImplementedError

    def decode_cursor(self, request: Request) -> Any:
        """The cursor, once its position is known to be one: clients can write anything there."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                self.position_field.clean(cursor.position, None)
        except (NotFound, DjangoValidationError, OverflowError):
            raise ValidationError(
                {self.cursor_query_param: [_("Take the cursor as it stands in `next` or `previous`.")]}
            ) from None
        return cursor


class ServicePagination(ListPagination):
    """By slug."""

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        return ("slug",)


class RunPagination(ListPagination):
    """Newest first."""

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        return ("-id",)


class PayloadPagination(ListPagination):
    """Newest first; the payloads of one run in the order in which they arose."""

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        return ("created_at", "id") if request.query_params.get("run") else ("-created_at", "-id")
