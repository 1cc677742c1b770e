"""Reads what a user may do along with the user, where Django's own backend asks the database twice more."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission, User
from django.db.models import Case, OuterRef, Q, StringAgg, Subquery, TextField, Value, When
from django.db.models.functions import Concat

_OF_USER = User.user_permissions.through.objects.filter(user=OuterRef(OuterRef("pk")))
_OF_GROUPS = Permission.objects.filter(group__user=OuterRef(OuterRef("pk")))
_NAMES = (
    Permission.objects.filter(Q(pk__in=_OF_USER.values("permission")) | Q(pk__in=_OF_GROUPS.values("pk")))
    # One group: all of them.
    .order_by()
    .values(all=Value(1))
    .annotate(
        names=StringAgg(
            Concat("content_type__app_label", Value("."), "codename", output_field=TextField()), Value(" ")
        )
    )
    .values("names")
)
# A superuser may do everything, and is never asked for what.
_USERS = User.objects.annotate(
    permission_names=Case(When(is_superuser=False, then=Subquery(_NAMES)), output_field=TextField())
)


class PermissionsWithUser(ModelBackend):
    """Django's own backend, whose user of a session comes with the permissions, their own and their groups'."""

    def get_user(self, user_id: Any) -> Any:
        user: Any = _USERS.filter(pk=user_id).first()
        if user is None or not self.user_can_authenticate(user):
            return None
        if not user.is_superuser:
            user.granted = set((user.permission_names or "").split())
        return user

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        granted: set[str] | None = getattr(user_obj, "granted", None)
        if granted is None or obj is not None or not user_obj.is_active:
            return super().get_all_permissions(user_obj, obj)
        return granted
