"""Admin of rows that several users edit. A row that was deleted meanwhile can be added anew with what was entered."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

from apps.console.settings.edit_conflict import name_of


class EditConflictAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """Admin with such a form. A row is locked while it is saved, so that two users cannot overtake each other."""

    def changeform_view(
        self,
        request: Any,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        request.is_saving = request.method == "POST"
        context = dict(extra_context or {})
        if (
            request.is_saving
            and object_id
            and self.has_change_permission(request)
            and is_deleted(self.model, object_id)
        ):
            # The form becomes that of a new row, which is not saved yet.
            may_add = self.has_add_permission(request)
            request.deletion = _deletion_html(self.model, object_id, may_add=may_add)
            if not may_add:
                context |= dict.fromkeys(
                    ("show_save", "show_save_and_continue", "show_save_and_add_another"), False
                )
            object_id, form_url = None, self.add_url(request)
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response

    def add_url(self, request: HttpRequest) -> str:
        """Where the form of a deleted row is sent."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_add")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Also for the form of a deleted row, which the user had opened to change it."""
        return bool(getattr(request, "deletion", "")) or super().has_add_permission(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is None or not _is_saving(request):
            return row
        self.model._base_manager.select_for_update().filter(pk=row.pk).values_list("pk").first()
        return super().get_object(request, object_id, from_field)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.is_saving = _is_saving(request)
        form.deletion = getattr(request, "deletion", "")
        return form


def _is_saving(request: HttpRequest) -> bool:
    return bool(getattr(request, "is_saving", False))


def is_deleted(model: type[Model], key: str) -> bool:
    """Whether the row does not exist, as opposed to one that the user may not see."""
    return key.isdecimal() and len(key) < 19 and not model._base_manager.filter(pk=int(key)).exists()


def _deletion_html(model: type[Model], key: str, *, may_add: bool) -> str:
    """The message to the user, with the name of whoever deleted the row in the console."""
    entries = LogEntry.objects.filter(
        content_type__app_label=model._meta.app_label,
        content_type__model=model._meta.model_name,
        object_id=key,
        action_flag=DELETION,
    )
    entry = entries.select_related("user").order_by("-action_time").first()
    context = {
        "deleted_by": name_of(entry.user) if entry else "",
        "deleted_at": entry.action_time if entry else None,
        "may_add": may_add,
    }
    return render_to_string("console/settings/deleted_meanwhile.html", context)
