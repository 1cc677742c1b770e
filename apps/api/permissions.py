"""What a token may do: what its scopes say, and never more than its user may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.api.models import ApiToken


@dataclass(frozen=True)
class Needs:
    """What one action asks for: a scope of the token and, if any are named, one of these permissions of its user.

    Where it depends on the row which scope that is, either will do to look for the row; the view's
    `scope_for(row)` then says which.
    """

    scope: ApiToken.Scope
    permissions: tuple[str, ...] = ()
    or_scope: ApiToken.Scope | None = None


class TokenHasScope(BasePermission):
    """Refuses whatever the view has not declared in `needs`, by action or by method in lower case.

    Which rows are there at all is another question, see apps.api.visibility.
    """

    message = ""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        if not isinstance(token, ApiToken):
            return False
        if not _is_served(request, view):
            # Nothing will happen: the view answers that it does not serve this method.
            return True
        needs = _needs_of(request, view)
        if needs is None:
            self.message = _("This route says nothing of who may use it, so nobody may.")
        elif not {needs.scope, needs.or_scope}.intersection(token.scopes):
            self._lacks(needs.scope)
        else:
            # Of one thing it is asked first whether it is there for this user at all (404), then this (403).
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

    def _user_may(self, request: Request, needs: Needs) -> bool:
        if not needs.permissions or any(request.user.has_perm(name) for name in needs.permissions):
            return True
        self.message = _("The token's user lacks the permission “%(name)s”.") % {"name": needs.permissions[0]}
        return False


def _is_served(request: Request, view: Any) -> bool:
    method = str(request.method).lower()
    return method in view.http_method_names and hasattr(view, method)


def _needs_of(request: Request, view: Any) -> Needs | None:
    declared: dict[str, Needs] = getattr(view, "needs", {})
    method = str(request.method).lower()
    return declared.get(getattr(view, "action", None) or ("get" if method == "head" else method))
