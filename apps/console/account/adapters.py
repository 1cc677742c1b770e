"""How django-allauth treats the accounts of Synclog."""

from __future__ import annotations

import base64
import logging
import os
from smtplib import SMTPException
from threading import Thread
from typing import Any
from urllib.parse import urljoin, urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import get_client_ip
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.audit.recording import record_failed_login
from apps.console.account.audit import record_failure
from apps.console.account.rate_limit import too_many_requests
from apps.runs.clock import database_now
from apps.services import secrets

logger = logging.getLogger(__name__)

# Texts by the template of django-allauth; its other messages are not shown.
_MESSAGES = {
    "account/messages/password_changed.txt": _("The password is changed."),
    "usersessions/messages/sessions_logged_out.txt": _("All other sessions are ended."),
    "mfa/messages/totp_activated.txt": _("The authenticator app is active."),
    "mfa/messages/totp_deactivated.txt": _("The authenticator app is removed."),
    "mfa/messages/webauthn_added.txt": _("The passkey is added."),
    "mfa/messages/webauthn_removed.txt": _("The passkey is removed."),
}


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are created by administrators, and only staff may log in."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _("Wrong username or password."),
        "incorrect_password": _("Wrong password."),
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
            record_failure(credentials, request)
            raise ImmediateHttpResponse(too_many_requests(request)) from None

    def pre_login(self, request: HttpRequest, user: Any, **options: Any) -> HttpResponse | None:
        if user.is_active and user.is_staff:
            return None
        clear_login(request)
        return refuse_access(request, user)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("admin:index")

    def get_reset_password_from_key_url(self, key: str) -> str:
        """With the configured address, because the client chooses the host of the request."""
        url = str(super().get_reset_password_from_key_url(key))
        return urljoin(settings.BASE_URL, urlsplit(url).path) if settings.BASE_URL else url

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In a thread, so that the time of the response does not reveal whether the account exists."""
        mail = self.render_mail(template_prefix, email, context)
        Thread(target=_send, args=(mail,), name="account mail").start()

    def post_login(
        self, request: HttpRequest, user: Any, *, signal_kwargs: dict[str, Any] | None, **options: Any
    ) -> HttpResponse:
        if "sociallogin" in (signal_kwargs or {}):
            request.session.set_expiry(settings.OPENID_SESSION_SECONDS)
        response: HttpResponse = super().post_login(request, user, signal_kwargs=signal_kwargs, **options)
        return response

    def add_message(
        self, request: HttpRequest, level: int, message_template: str = "", *args: Any, **options: Any
    ) -> None:
        if text := options.get("message") or _MESSAGES.get(message_template):
            messages.add_message(request, level, text)


def _send(mail: EmailMessage) -> None:
    try:
        mail.send(using="default")
    except (SMTPException, OSError) as error:
        # Without the address, which is personal.
        logger.warning("A mail of an account could not be sent: %s", type(error).__name__)


class SecondFactorAdapter(DefaultMFAAdapter):
    """Second factors, with their secrets encrypted like those of connections."""

    error_messages = DefaultMFAAdapter.error_messages | {"incorrect_code": _("Wrong code.")}

    def encrypt(self, text: str) -> str:
        return secrets.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """A random secret, for which no code is right, if the encryption key has changed."""
        try:
            return secrets.decrypt(encrypted_text)
        except secrets.SecretUnavailable:
            logger.warning("A second factor cannot be decrypted: DJANGO_SECRET_KEY has changed.")
            return base64.b32encode(os.urandom(20)).decode()

    def generate_authenticator_name(self, user: Any, type: Any) -> str:  # noqa: A002 - a keyword of allauth
        return gettext("Passkey %(number)d") % {
            "number": user.authenticator_set.filter(type=type).count() + 1
        }

    def _get_site_name(self) -> str:
        """The name that browsers show, instead of the host."""
        return "Synclog"


def refuse_access(request: HttpRequest, user: Any = None) -> HttpResponse:
    """Ends the login of `user`, None if the account does not exist. It is recorded as a failed one."""
    record_failed_login(user, request.META.get("REMOTE_ADDR"), database_now())
    messages.error(request, _("This account has no access to the console. Ask an administrator."))
    return HttpResponseRedirect(reverse("account_login"))
