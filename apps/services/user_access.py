"""Permissions, hidden services and time zone of a user, read in the query that reads the user.

Django's own backend reads permissions with two further queries, and visibility would take subqueries in every query
of services and runs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet, TextField
from django.db.models.expressions import RawSQL

_JOIN = "string_agg" if connection.vendor == "postgresql" else "group_concat"
# Raw SQL: the same expressions built by the ORM would cost each request more than they save.
_PERMISSIONS_SQL = f"""
CASE WHEN NOT auth_user.is_superuser THEN (
    SELECT {_JOIN}(django_content_type.app_label || '.' || auth_permission.codename, ' ')
    FROM auth_permission JOIN django_content_type ON django_content_type.id = auth_permission.content_type_id
    WHERE auth_permission.id IN (
        SELECT permission_id FROM auth_user_user_permissions WHERE user_id = auth_user.id
        UNION ALL
        SELECT permission_id FROM auth_group_permissions
        JOIN auth_user_groups ON auth_user_groups.group_id = auth_group_permissions.group_id
        WHERE auth_user_groups.user_id = auth_user.id
    )
) END
"""  # noqa: S608 - no value of a request is part of it
# Services that belong to groups, none of them a group of the user.
_HIDDEN_SERVICES_SQL = f"""
CASE WHEN NOT auth_user.is_superuser THEN (
    SELECT {_JOIN}(CAST(service_id AS TEXT), ' ') FROM services_service_groups WHERE service_id NOT IN (
        SELECT service_id FROM services_service_groups
        JOIN auth_user_groups ON auth_user_groups.group_id = services_service_groups.group_id
        WHERE auth_user_groups.user_id = auth_user.id
    )
) END
"""  # noqa: S608 - no value of a request is part of it
_TIME_ZONE_SQL = "(SELECT name FROM services_usertimezone WHERE user_id = auth_user.id)"
# Annotations for a queryset that joins the table of users; `remember_access` takes the values.
USER_ACCESS = {
    "user_permissions_text": RawSQL(_PERMISSIONS_SQL, (), TextField()),  # noqa: S611 - the same
    "hidden_services_text": RawSQL(_HIDDEN_SERVICES_SQL, (), TextField()),  # noqa: S611 - the same
}


@cache
def _users() -> QuerySet[Any]:
    """Built once, when all models are loaded."""
    time_zone = RawSQL(_TIME_ZONE_SQL, (), TextField())  # noqa: S611 - no value of a request is part of it
    return User.objects.annotate(**USER_ACCESS, time_zone=time_zone)


def remember_access(user: Any, row: Any) -> None:
    """Stores on `user` what `row`, which was annotated with USER_ACCESS, says about their access."""
    if not user.is_superuser:
        user.permission_names = set((row.user_permissions_text or "").split())
    user.hidden_service_ids = {int(pk) for pk in (row.hidden_services_text or "").split()}


def hidden_service_ids(user: Any) -> set[int]:
    """The services that `user` may not know of; one query if the user was read without USER_ACCESS."""
    if not hasattr(user, "hidden_service_ids"):
        row = _users().filter(pk=user.pk).first()
        if row is None:
            raise ValueError("Only a saved user has access to services.")
        remember_access(user, row)
    ids: set[int] = user.hidden_service_ids
    return ids


class UserAccessBackend(ModelBackend):
    """Django's backend, with users of sessions that are read together with their access."""

    def get_user(self, user_id: Any) -> Any:
        user: Any = _users().filter(pk=user_id).first()
        if user is None or not self.user_can_authenticate(user):
            return None
        remember_access(user, user)
        return user

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        names: set[str] | None = getattr(user_obj, "permission_names", None)
        if names is None or obj is not None or not user_obj.is_active:
            return super().get_all_permissions(user_obj, obj)
        return names
