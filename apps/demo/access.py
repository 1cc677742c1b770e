"""User `demo` and its API token, stored in a file so that every start shows the same."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.contrib.auth.models import User
from django.utils import timezone

from apps.api.models import MAX_DAYS, ApiToken, digest

USERNAME = "demo"
TOKEN_NAME = "demo"  # noqa: S105 - the name of a token, not a secret


@dataclass(frozen=True)
class Access:
    """Credentials for console and API in clear text."""

    user: User
    password: str
    token: str


def grant_access(path: Path) -> Access:
    """The user with the password and token of the file `path` if they still work, otherwise new ones.

    Only the owner of the file can read it.
    """
    stored = _read(path)
    user, _created = User.objects.get_or_create(
        username=USERNAME, defaults={"is_staff": True, "is_superuser": True}
    )
    access = Access(user, _password(user, stored.get("password")), _token(user, stored.get("token")))
    _write(path, {"user": user.username, "password": access.password, "token": access.token})
    return access


def _password(user: User, stored: str | None) -> str:
    if stored and user.check_password(stored):
        return stored
    password = stored or secrets.token_urlsafe(12)
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def _token(user: User, stored: str | None) -> str:
    if stored and ApiToken.objects.usable().filter(user=user, digest=digest(stored)).exists():
        return stored
    scopes = [str(scope) for scope in ApiToken.Scope]
    expires_at = timezone.now() + timedelta(days=MAX_DAYS)
    _row, token = ApiToken.issue(user=user, name=TOKEN_NAME, scopes=scopes, expires_at=expires_at)
    return token


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name.strip(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


def _write(path: Path, content: dict[str, str]) -> None:
    """Written atomically, and never readable by others."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}: {value}\n" for name, value in content.items())
    new.replace(path)
