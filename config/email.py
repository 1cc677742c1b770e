"""Outgoing mail: the server of EMAIL_URL, or a folder."""

from __future__ import annotations

from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

from config.environment import read_text

# In seconds, for each step of the conversation with the server.
_TIMEOUT = 10
_EXAMPLE = "write smtp://user:password@mail.example:587, smtps://mail.example or file:///srv/mail"


def mailers(name: str, default_folder: Path) -> dict[str, Any]:
    """Django's `MAILERS` for the URL in the variable `name`; without it mails are written to files."""
    url = read_text(name, default_folder.as_uri())
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Without the reason, which contains a part of the URL and so perhaps the password.
        raise ImproperlyConfigured(f"{name} is not a valid URL; {_EXAMPLE}.") from None
    if parts.scheme == "file":
        return {"default": _folder(name, parts.path)}
    if parts.scheme not in ("smtp", "smtps"):
        raise ImproperlyConfigured(f"{name} must begin with smtp://, smtps:// or file:; {_EXAMPLE}.")
    if not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ImproperlyConfigured(f"{name} does not consist of a host and a port; {_EXAMPLE}.")
    if parts.query not in ("", "tls=0", "tls=1"):
        raise ImproperlyConfigured(f"{name} has unknown options; the only one is ?tls=1 or ?tls=0.")
    use_ssl = parts.scheme == "smtps"
    # Credentials are never sent in clear text unless the operator asks for it.
    use_tls = not use_ssl and (parts.query == "tls=1" or (not parts.query and bool(parts.username)))
    options = {
        "host": parts.hostname,
        "port": port or (465 if use_ssl else 587 if use_tls else 25),
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "use_ssl": use_ssl,
        "use_tls": use_tls,
        "timeout": _TIMEOUT,
    }
    return {"default": {"BACKEND": "config.smtp.EmailBackend", "OPTIONS": options}}


def base_url(name: str) -> str:
    """The address of the console for links in messages, with a slash at its end; empty if it is not set."""
    value = read_text(name)
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name} is {value!r}; write an address such as https://synclog.example.")
    return value.rstrip("/") + "/"


def is_mail_address(text: str) -> bool:
    """Whether `text` is one address, such as `ops@example.com` or `Operations <ops@example.com>`."""
    if not text.isprintable():
        return False
    _name, address = parseaddr(text, strict=True)
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def _folder(name: str, path: str) -> dict[str, Any]:
    folder = Path(unquote(path))
    if not folder.is_absolute():
        raise ImproperlyConfigured(f"{name} is not an absolute path; write file:///srv/mail.")
    return {
        "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "OPTIONS": {"file_path": str(folder)},
    }
