"""Remembers the last chosen period of a list, in a cookie of the browser."""

from __future__ import annotations

from collections.abc import Collection

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

_YEAR = 365 * 24 * 3600


def remembered(request: HttpRequest, name: str) -> str:
    """The value that was remembered last; empty = none. It may be invalid."""
    return request.COOKIES.get(_cookie(name), "")


def remember(
    request: HttpRequest, response: HttpResponse, name: str, value: str, allowed: Collection[str]
) -> None:
    """Remembers an allowed value for the next visit."""
    if value in allowed and value != remembered(request, name):
        response.set_cookie(
            _cookie(name),
            value,
            max_age=_YEAR,
            path=reverse("admin:index"),
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )


def _cookie(name: str) -> str:
    return f"synclog_{name}"
