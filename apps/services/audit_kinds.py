"""Services and connections in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.audit.models import Action
from apps.audit.trail import Kind
from apps.services.models import Connection, Service
from apps.services.user_access import hidden_service_ids


def has_hidden_services(user: Any) -> bool:
    """Whether there are services that the user may not know of."""
    if user.is_active and user.is_superuser:
        return False
    return not user.has_perm("services.view_service") or bool(hidden_service_ids(user))


def unless_all_visible(
    visible_to: Callable[[Any], QuerySet[Any]] | None = None,
) -> Callable[[Any], QuerySet[Any] | None]:
    """`visible_to` of a kind whose objects are all visible to users who may see all services; others may see those
    that `visible_to` returns, by default none.
    """

    def visible(user: Any) -> QuerySet[Any] | None:
        if not has_hidden_services(user):
            return None
        return visible_to(user) if visible_to else Service.objects.none()

    return visible


def _visible_connections(user: Any) -> QuerySet[Connection]:
    may_view = user.has_perm("services.view_service")
    return Connection.objects.not_hidden_from(user) if may_view else Connection.objects.none()


KINDS = (
    Kind(
        *("service", _("Service"), Service, ("slug", "name")),
        unless_all_visible(Service.objects.visible_to),
        Action.TRIED,
    ),
    Kind(
        *("connection", _("Connection"), Connection, ("name",)),
        unless_all_visible(_visible_connections),
        Action.TRIED,
    ),
)
