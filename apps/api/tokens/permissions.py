"""Permissions of a request: the scopes of its token, and the permissions of the user of the token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.api.models import ApiToken


@dataclass(frozen=True)
class Requires:
    """Requirements of an action: a scope of the token, and any of these permissions of its user.

    If the scope depends on the row, either scope suffices to look up the row; then `scope_for(row)` of the view
    decides.
    """

    scope: ApiToken.Scope
    any_permission: tuple[str, ...] = ()
    or_scope: ApiToken.Scope | None = None


class TokenHasScope(BasePermission):
    """Refuses every action that the view does not declare in `required`, by action or lower-case method.

    Whether a row is visible is decided by apps.api.queries.visibility.
    """

    message = ""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        if not isinstance(token, ApiToken):
            return False
        if not _is_allowed_method(request, view):
            # The view responds with 405.
            return True
        required = _requirements_of(request, view)
        if required is None:
            self.message = _("This route declares no permissions.")
            return False
        if not {required.scope, required.or_scope}.intersection(token.scopes):
            self._refuse_scope(required.scope)
            return False
        # For a single row, visibility (404) is checked before the permission (403).
        return bool(view.kwargs) or self._has_user_permission(request, required)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        required = _requirements_of(request, view)
        if required is None:
            return False
        scope = view.scope_for(obj) if required.or_scope else required.scope
        if not isinstance(request.auth, ApiToken) or scope not in request.auth.scopes:
            self._refuse_scope(scope)
            return False
        return self._has_user_permission(request, required)

    def _refuse_scope(self, scope: ApiToken.Scope) -> None:
        self.message = _("The token lacks the scope “%(scope)s”.") % {"scope": scope}

    def _has_user_permission(self, request: Request, required: Requires) -> bool:
        names = required.any_permission
        if not names or any(request.user.has_perm(name) for name in names):
            return True
        self.message = _("The user of the token lacks the permission “%(name)s”.") % {"name": names[0]}
        return False


def _is_allowed_method(request: Request, view: Any) -> bool:
    method = str(request.method).lower()
    return method in view.http_method_names and hasattr(view, method)


def _requirements_of(request: Request, view: Any) -> Requires | None:
    required: dict[str, Requires] = getattr(view, "required", {})
    method = str(request.method).lower()
    return required.get(getattr(view, "action", None) or ("get" if method == "head" else method))
