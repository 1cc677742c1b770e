"""Reads what a user may do along with the user, where Django's own backend asks the database twice more."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import TextField
from django.db.models.expressions import RawSQL

# Written out: put together by the ORM, it would cost each request more than it saves.
# A superuser may do everything, and is never asked for what.
_SQL = """
CASE WHEN NOT auth_user.is_superuser THEN (
    SELECT {join}(django_content_type.app_label || '.' || auth_permission.codename, ' ')
    FROM auth_permission JOIN django_content_type ON django_content_type.id = auth_permission.content_type_id
    WHERE auth_permission.id IN (
        SELECT permission_id FROM auth_user_user_permissions WHERE user_id = auth_user.id
        UNION ALL
        SELECT permission_id FROM auth_group_permissions
        JOIN auth_user_groups ON auth_user_groups.group_id = auth_group_permissions.group_id
        WHERE auth_user_groups.user_id = auth_user.id
    )
) END
""".format(join="string_agg" if connection.vendor == "postgresql" else "group_concat")  # noqa: S608 - our words
# To be annotated where the table of users is joined; see `grant`.
PERMISSION_NAMES = RawSQL(_SQL, (), TextField())  # noqa: S611 - our words
_USERS = User.objects.annotate(permission_names=PERMISSION_NAMES)


def grant(user: Any, permission_names: str | None) -> None:
    """Note with the user what was read along as PERMISSION_NAMES, so that it is not asked for again."""
    if not user.is_superuser:
        user.granted = set((permission_names or "").split())


class PermissionsWithUser(ModelBackend):
    """Django's own backend, whose user of a session comes with the permissions, their own and their groups'."""

    def get_user(self, user_id: Any) -> Any:
        user: Any = _USERS.filter(pk=user_id).first()
        if user is None or not self.user_can_authenticate(user):
            return None
        grant(user, user.permission_names)
        return user

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        granted: set[str] | None = getattr(user_obj, "granted", None)
        if granted is None or obj is not None or not user_obj.is_active:
            return super().get_all_permissions(user_obj, obj)
        return granted
