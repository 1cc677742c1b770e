"""How django-allauth treats the accounts of Synclog."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import get_client_ip
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.console.account.rate_limit import too_many_requests

# Pages that follow show these events anyway.
_SILENT = {"account/messages/logged_in.txt", "account/messages/logged_out.txt"}


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are created by administrators, and only staff may log in."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _("Wrong username or password."),
        "too_many_login_attempts": _("Too many failed attempts. Try again in ten minutes."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Clients of a Unix socket have no address; they share one limit."""
        return get_client_ip(request) or "0.0.0.0"  # noqa: S104 - an address, not an interface

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Without the name of the host, which the client chooses."""
        return str(credentials.get("username", "")).lower()

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            raise ImmediateHttpResponse(too_many_requests(request)) from None

    def pre_login(self, request: HttpRequest, user: Any, **options: Any) -> HttpResponse | None:
        if user.is_active and user.is_staff:
            return None
        clear_login(request)
        return refuse_access(request)

    def add_message(
        self, request: HttpRequest, level: int, message_template: Any = None, *args: Any, **options: Any
    ) -> None:
        if message_template not in _SILENT:
            super().add_message(request, level, message_template, *args, **options)


def refuse_access(request: HttpRequest) -> HttpResponse:
    messages.error(request, _("This account has no access to the console. Ask an administrator."))
    return HttpResponseRedirect(reverse("account_login"))
