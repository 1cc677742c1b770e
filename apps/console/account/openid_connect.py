"""Login through the OpenID provider: users, their groups, and errors."""

from __future__ import annotations

import logging
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthError, AuthProcess
from allauth.socialaccount.providers.openid_connect import views as allauth_views
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from requests import RequestException

from apps.audit.changes import field_values
from apps.audit.models import OPENID_PROVIDER
from apps.audit.recording import record_command_change
from apps.console.account.adapters import refuse_access
from config.openid_connect import PROVIDER_ID, OpenIDProvider

logger = logging.getLogger(__name__)


class ProviderAdapter(DefaultSocialAccountAdapter):
    """Creates users of the provider at their first login, and assigns their groups at each."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            # Local accounts cannot be connected: the groups of the provider would change them.
            raise ImmediateHttpResponse(refuse_access(request))
        names = _granted_groups(sociallogin)
        if sociallogin.is_existing:
            _assign_groups(sociallogin.user, names)
        elif not names:
            raise ImmediateHttpResponse(refuse_access(request))

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        _assign_groups(user, _granted_groups(sociallogin), is_new=True)
        return user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, **options: Any
    ) -> None:
        if error != AuthError.CANCELLED:
            logger.warning(
                "Login through the OpenID provider failed: %s", exception or request.GET.get("error")
            )
        raise ImmediateHttpResponse(_failed(request))


def provider_login(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _call(allauth_views.login, request)


def provider_callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _call(allauth_views.callback, request)


def _call(view: Any, request: HttpRequest) -> HttpResponse:
    _provider()
    try:
        response: HttpResponse = view(request, provider_id=PROVIDER_ID)
    except (RequestException, ValueError, KeyError) as error:
        # The provider does not respond, or not as OpenID Connect demands.
        logger.warning("Login through the OpenID provider failed: %s: %s", type(error).__name__, error)
        return _failed(request)
    return response


def _failed(request: HttpRequest) -> HttpResponse:
    name = _provider().name
    messages.error(
        request, _("The login through %(name)s failed or was cancelled. Try again.") % {"name": name}
    )
    return redirect("account_login")


def _provider() -> OpenIDProvider:
    provider = settings.OPENID_PROVIDER
    if provider is None:
        raise Http404
    return provider


def _granted_groups(sociallogin: Any) -> set[str]:
    """Names of the Django groups to which the provider's groups of the user are mapped."""
    provider = _provider()
    data = sociallogin.account.extra_data
    claims = (data.get("id_token") or {}) | (data.get("userinfo") or {})
    claimed = claims.get(provider.groups_claim) or ()
    if isinstance(claimed, str):
        claimed = [claimed]
    return {local for remote, local in provider.groups if remote in claimed}


@transaction.atomic
def _assign_groups(user: User, names: set[str], *, is_new: bool = False) -> None:
    """Adds and removes mapped groups; other groups remain. Only users with a mapped group have access."""
    mapped = {name for _theirs, name in _provider().groups}
    before = None if is_new else field_values(user)
    groups = {group.name: group for group in Group.objects.filter(name__in=mapped)}
    if missing := names - groups.keys():
        logger.warning("Groups of SYNCLOG_OIDC_GROUPS do not exist: %s", ", ".join(sorted(missing)))
    granted = [group for name, group in groups.items() if name in names]
    user.groups.remove(*(group for name, group in groups.items() if name not in names))
    user.groups.add(*granted)
    user.is_staff = bool(granted)
    user.save(update_fields=["is_staff"])
    after = field_values(user)
    if before != after:
        record_command_change(OPENID_PROVIDER, user, before, after)
