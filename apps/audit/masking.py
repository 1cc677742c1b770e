"""Masks of secrets in values that are shown."""

from __future__ import annotations

# What is shown instead of a secret.
MASK = "••••"
_WORDS = ("token", "key", "secret", "passw", "sig", "auth", "credential", "session", "cookie")


def is_secret_name(name: str) -> bool:
    """Whether a header or parameter of this name probably has a secret value."""
    plain = name.lower().replace("-", "").replace("_", "")
    return any(word in plain for word in _WORDS)


def masked_query(query: str) -> str:
    """A query string whose probable secrets are masked."""
    return "&".join(_masked(pair) for pair in query.split("&")) if query else ""


def _masked(pair: str) -> str:
    name, equals, _value = pair.partition("=")
    return f"{name}{equals}{MASK}" if is_secret_name(name) else pair
