"""Users in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from apps.audit.models import AuditEvent

if TYPE_CHECKING:
    # Django's classes take a type parameter for the type checker only.
    _ModelAdmin = ModelAdmin[User]
else:
    _ModelAdmin = object


class ProtectedUsers(_ModelAdmin):
    """Users who have used the console can only be deactivated: their entries in the audit log would be deleted."""

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if not super().has_delete_permission(request, obj):
            return False
        return obj is None or not (
            LogEntry.objects.filter(user=obj).exists() or AuditEvent.objects.filter(user=obj).exists()
        )

    def user_change_password(self, *args: Any, **options: Any) -> HttpResponse:
        """The change and its entry in one transaction."""
        inner: Any = super()
        with transaction.atomic():
            response: HttpResponse = inner.user_change_password(*args, **options)
        return response


def with_protected_users(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    """The class; if it is Django's admin of users, such users cannot be deleted."""
    if not hasattr(admin_class, "user_change_password"):
        return admin_class
    return type(admin_class.__name__, (ProtectedUsers, admin_class), {"__module__": admin_class.__module__})
