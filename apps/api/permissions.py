"""Permissions of a token: its scopes, and the permissions of its user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.api.models import ApiToken


@dataclass(frozen=True)
class Requires:
    """Requirements of an action: a scope of the token, and one of these permissions of its user if any are named.

    If the scope depends on the row, either scope suffices to look the row up; `scope_for(row)` of the view then
    decides.
    """

    scope: ApiToken.Scope
    permissions: tuple[str, ...] = ()
    or_scope: ApiToken.Scope | None = None


class TokenHasScope(BasePermission):
    """Refuses everything that the view does not declare in `needs`, by action or lower-case method.

    Visibility of rows is decided by apps.api.visibility.
    """

    message = ""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        if not isinstance(token, ApiToken):
            return False
        if not _is_served(request, view):
            # The view responds that it does not support the method.
            return True
        needs = _needs_of(request, view)
        if needs is None:
            self.message = _("This route declares no permissions.")
        elif not {needs.scope, needs.or_scope}.intersection(token.scopes):
            self._lacks(needs.scope)
        else:
            # For a single row, visibility (404) is checked before the permission (403).
            return bool(view.kwargs) or self._user_may(request, needs)
        return False

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        needs = _needs_of(request, view)
        if needs is None:
            return False
        scope = view.scope_for(obj) if needs.or_scope else needs.scope
        if not isinstance(request.auth, ApiToken) or scope not in request.auth.scopes:
            self._lacks(scope)
            return False
        return self._user_may(request, needs)

    def _lacks(self, scope: ApiToken.Scope) -> None:
        self.message = _("The token lacks the scope “%(scope)s”.") % {"scope": scope}

    def _user_may(self, request: Request, needs: Requires) -> bool:
        if not needs.permissions or any(request.user.has_perm(name) for name in needs.permissions):
            return True
        self.message = _("The user of the token lacks the permission “%(name)s”.") % {
            "name": needs.permissions[0]
        }
        return False


def _is_served(request: Request, view: Any) -> bool:
    method = str(request.method).lower()
    return method in view.http_method_names and hasattr(view, method)


def _needs_of(request: Request, view: Any) -> Requires | None:
    declared: dict[str, Requires] = getattr(view, "needs", {})
    method = str(request.method).lower()
    return declared.get(getattr(view, "action", None) or ("get" if method == "head" else method))
