"""Routes of django-allauth: only the pages that the console has."""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.db import transaction
from django.urls import URLPattern, path, re_path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from django.views.generic import RedirectView

from apps.console.account.openid_connect import provider_callback, provider_login
from apps.console.account.sessions import SessionsView, end_session
from apps.console.account.views import LoginView, View, console_page, password_change, password_reset
from config.openid_connect import PROVIDER_ID


def _page(route: str, view: View, name: str, title: Any) -> URLPattern:
    return path(route, console_page(view, title), name=name)


def _change(route: str, view: View, name: str, title: Any) -> URLPattern:
    """A page whose change and its entry in the audit log are one transaction."""
    return _page(route, transaction.atomic(view), name, title)


_CONFIRM = _("Confirm that it is you")

urlpatterns = [
    # Password and sessions.
    _change("password_change/", password_change, "account_change_password", _("Change password")),
    _page("account/password/", password_reset, "account_reset_password", _("Reset password")),
    _page(
        "account/password/sent/",
        account.password_reset_done,
        "account_reset_password_done",
        _("Reset password"),
    ),
    _page(
        "account/password/done/",
        account.password_reset_from_key_done,
        "account_reset_password_from_key_done",
        _("Password changed"),
    ),
    re_path(
        r"^account/password/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        console_page(transaction.atomic(account.password_reset_from_key), _("New password")),
        name="account_reset_password_from_key",
    ),
    _page("account/sessions/", SessionsView.as_view(), "usersessions_list", _("Sessions")),
    path("account/sessions/<int:pk>/end/", require_POST(end_session), name="usersessions_end"),
    # The same addresses as those of Django's admin, which they replace.
    _page("login/", LoginView.as_view(), "account_login", _("Log in")),
    path("logout/", require_POST(account.logout), name="account_logout"),
    # Login with a second factor or a passkey.
    _page("login/second-factor/", mfa.authenticate, "mfa_authenticate", _("Second factor")),
    path("login/passkey/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    # Login through the OpenID provider.
    path(
        "account/provider/login/", provider_login, {"provider_id": PROVIDER_ID}, name="openid_connect_login"
    ),
    path(
        "account/provider/callback/",
        provider_callback,
        {"provider_id": PROVIDER_ID},
        name="openid_connect_callback",
    ),
    # Confirmation before security settings are changed.
    _page("account/confirm/", account.reauthenticate, "account_reauthenticate", _CONFIRM),
    _page("account/confirm/code/", mfa.reauthenticate, "mfa_reauthenticate", _CONFIRM),
    _page(
        "account/confirm/passkey/",
        webauthn.reauthenticate_webauthn,
        "mfa_reauthenticate_webauthn",
        _CONFIRM,
    ),
    # Second factors.
    _page("account/2fa/", mfa.index, "mfa_index", _("Two-factor authentication")),
    _change("account/2fa/app/add/", totp.activate_totp, "mfa_activate_totp", _("Add an authenticator app")),
    _change(
        "account/2fa/app/remove/",
        totp.deactivate_totp,
        "mfa_deactivate_totp",
        _("Remove the authenticator app"),
    ),
    path("account/2fa/passkeys/", RedirectView.as_view(pattern_name="mfa_index"), name="mfa_list_webauthn"),
    _change("account/2fa/passkeys/add/", webauthn.add_webauthn, "mfa_add_webauthn", _("Add a passkey")),
    _page(
        "account/2fa/passkeys/<int:pk>/rename/",
        webauthn.edit_webauthn,
        "mfa_edit_webauthn",
        _("Rename a passkey"),
    ),
    _change(
        "account/2fa/passkeys/<int:pk>/remove/",
        webauthn.remove_webauthn,
        "mfa_remove_webauthn",
        _("Remove a passkey"),
    ),
    _page(
        "account/2fa/recovery-codes/",
        recovery_codes.view_recovery_codes,
        "mfa_view_recovery_codes",
        _("Recovery codes"),
    ),
    _change(
        "account/2fa/recovery-codes/new/",
        recovery_codes.generate_recovery_codes,
        "mfa_generate_recovery_codes",
        _("New recovery codes"),
    ),
    path(
        "account/2fa/recovery-codes/recovery-codes.txt",
        recovery_codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
]
