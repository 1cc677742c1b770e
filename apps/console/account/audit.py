"""Logins, logouts, passwords and second factors in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.account.signals import password_changed, password_reset
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_save
from django.http import HttpRequest
from django.utils.translation import gettext_noop as _

from apps.audit.changes import field_values
from apps.audit.models import Action
from apps.audit.recording import record_command_change, record_event, record_failed_login
from apps.runs.clock import database_now

# Recorded in English, and translated for each reader.
_ADDED = {
    Authenticator.Type.TOTP: _("Authenticator app added"),
    Authenticator.Type.WEBAUTHN: _("Passkey added"),
    Authenticator.Type.RECOVERY_CODES: _("New recovery codes"),
}
_REMOVED = {
    Authenticator.Type.TOTP: _("Authenticator app removed"),
    Authenticator.Type.WEBAUTHN: _("Passkey removed"),
    Authenticator.Type.RECOVERY_CODES: _("Recovery codes removed"),
}


def connect_signals() -> None:
    user_logged_in.connect(_record_login, dispatch_uid="audit")
    user_logged_out.connect(_record_logout, dispatch_uid="audit")
    user_login_failed.connect(record_failure, dispatch_uid="audit")
    authentication_failed.connect(_record_wrong_code, dispatch_uid="audit")
    for changed in (password_changed, password_reset):
        changed.connect(_record_password, dispatch_uid="audit")
    authenticator_added.connect(_record_added_factor, dispatch_uid="audit")
    authenticator_removed.connect(_record_removed_factor, dispatch_uid="audit")
    authenticator_reset.connect(_record_new_codes, dispatch_uid="audit")


@contextmanager
def recorded_command(command: str) -> Iterator[None]:
    """Records the users that Django's command adds, and the passwords that it changes."""

    def record(instance: User, created: bool, **_signal: Any) -> None:
        if created:
            record_command_change(command, instance, None, field_values(instance))
        else:
            record_event(Action.PASSWORD_CHANGED, command=command, subject=instance)

    post_save.connect(record, sender=User)
    try:
        yield
    finally:
        post_save.disconnect(record, sender=User)


def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_signal: Any) -> None:
    """Records a failed login.

    Names the account only if it exists: people also type their password into the field of the name.
    """
    name = str(credentials.get("username") or "")
    user = None if "\x00" in name else User.objects.filter(username=name[:151]).first()
    record_failed_login(user, _address(request), database_now())


def _record_login(user: Any, request: HttpRequest | None = None, **_signal: Any) -> None:
    _record(Action.LOGIN, request, user)


def _record_logout(user: Any, request: HttpRequest | None = None, **_signal: Any) -> None:
    # A logout without a session has no user.
    if user is not None:
        _record(Action.LOGOUT, request, user)


def _record_wrong_code(user: Any, request: HttpRequest, **_signal: Any) -> None:
    record_failed_login(user, _address(request), database_now())


def _record_password(user: Any, request: HttpRequest, **_signal: Any) -> None:
    _record(Action.PASSWORD_CHANGED, request, user)


def _record_added_factor(user: Any, request: HttpRequest, authenticator: Any, **_signal: Any) -> None:
    _record(Action.FACTOR_CHANGED, request, user, _ADDED[authenticator.type])


def _record_removed_factor(user: Any, request: HttpRequest, authenticator: Any, **_signal: Any) -> None:
    _record(Action.FACTOR_CHANGED, request, user, _REMOVED[authenticator.type])


def _record_new_codes(user: Any, request: HttpRequest, **_signal: Any) -> None:
    _record(Action.FACTOR_CHANGED, request, user, _ADDED[Authenticator.Type.RECOVERY_CODES])


def _record(action: Action, request: HttpRequest | None, user: Any, detail: str = "") -> None:
    record_event(action, user=user, address=_address(request), subject=user, detail=detail)


def _address(request: HttpRequest | None) -> str | None:
    return request.META.get("REMOTE_ADDR") if request is not None else None
