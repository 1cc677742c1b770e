"""Old and new values of what is changed in the admin, in the history of the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from apps.audit.changes import differences, field_values

if TYPE_CHECKING:
    # Django's classes take a type parameter for the type checker only.
    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = object


class AuditedAdmin(_ModelAdmin):
    """Adds the values to the message of each addition and change; actions are recorded in their transaction."""

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        stored = type(obj)._base_manager.get(pk=obj.pk) if change else None
        request.audited_values = field_values(stored) if stored is not None else None
        super().save_model(request, obj, form, change)

    def construct_change_message(
        self, request: Any, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, Any]]:
        message: list[dict[str, Any]] = super().construct_change_message(request, form, formsets, add)
        if hasattr(request, "audited_values"):
            # Read again: the row has what the form left to the database, and its new relations.
            row = type(form.instance)._base_manager.get(pk=form.instance.pk)
            values = differences(type(row), request.audited_values, field_values(row))
            message.append({"values": values})
        return message

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> HttpResponse | None:
        with transaction.atomic():
            return super().response_action(request, queryset, *args, **options)


def with_audit(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    return type(admin_class.__name__, (AuditedAdmin, admin_class), {"__module__": admin_class.__module__})
