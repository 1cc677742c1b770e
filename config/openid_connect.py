"""The OpenID provider through which users log in, if one is configured."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.environment import read_list, read_text

_REQUIRED = (
    "SYNCLOG_OIDC_ISSUER",
    "SYNCLOG_OIDC_CLIENT_ID",
    "SYNCLOG_OIDC_CLIENT_SECRET",
    "SYNCLOG_OIDC_GROUPS",
)
# The part of the callback address that django-allauth takes for the provider.
PROVIDER_ID = "company"


@dataclass(frozen=True)
class OpenIDProvider:
    """Configuration of the provider; `groups` maps its groups to those of Django."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]
    groups_claim: str

    def for_allauth(self) -> dict[str, Any]:
        """The value of SOCIALACCOUNT_PROVIDERS."""
        app = {
            "provider_id": PROVIDER_ID,
            "name": self.name,
            "client_id": self.client_id,
            "secret": self.client_secret,
            "settings": {"server_url": self.issuer},
        }
        return {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "SCOPE": list(self.scopes), "APPS": [app]}}


def openid_provider() -> OpenIDProvider | None:
    """The provider of the environment; None if no variable of it is set."""
    if not any(name.startswith("SYNCLOG_OIDC_") and value.strip() for name, value in os.environ.items()):
        return None
    for name in _REQUIRED:
        if not read_text(name):
            raise ImproperlyConfigured(
                f"{name} is missing; for the login through an OpenID provider set {', '.join(_REQUIRED)}."
            )
    return OpenIDProvider(
        name=read_text("SYNCLOG_OIDC_NAME", "single sign-on"),
        issuer=_issuer("SYNCLOG_OIDC_ISSUER"),
        client_id=read_text("SYNCLOG_OIDC_CLIENT_ID"),
        client_secret=read_text("SYNCLOG_OIDC_CLIENT_SECRET"),
        scopes=tuple(read_text("SYNCLOG_OIDC_SCOPES", "openid profile email").split()),
        groups=tuple(_groups("SYNCLOG_OIDC_GROUPS")),
        groups_claim=read_text("SYNCLOG_OIDC_GROUPS_CLAIM", "groups"),
    )


def _issuer(name: str) -> str:
    """Without TLS anybody in the network could log in as anybody, so only this machine may do without."""
    value = read_text(name)
    parts = urlsplit(value)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise ImproperlyConfigured(f"{name} is {value!r}; write an address such as https://login.example.")
    return value.rstrip("/")


def _groups(name: str) -> list[tuple[str, str]]:
    pairs = []
    for item in read_list(name):
        theirs, equals, ours = (part.strip() for part in item.rpartition("="))
        if not (theirs and equals and ours):
            raise ImproperlyConfigured(
                f"{name} contains {item!r}; write pairs such as sync-support=Support, separated by commas."
            )
        pairs.append((theirs, ours))
    return pairs
