"""Time zone of the reader: the one that the user chose, or that of the browser, a cookie of ui/times.js."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from apps.services.schedule import validate_timezone

COOKIE = "synclog_zone"
_MAX_LENGTH = 64


class ReaderZone:
    """Middleware that activates the zone for the console; the API uses UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(reverse("admin:index")):
            return self.get_response(request)
        # Read together with the user; see `UserAccessBackend`.
        chosen = known_zone(getattr(request.user, "time_zone", None) or "")
        with timezone.override(chosen or browser_zone(request)):
            return self.get_response(request)


def browser_zone(request: HttpRequest) -> ZoneInfo | None:
    """The zone of the browser; None if it is unknown."""
    return known_zone(request.COOKIES.get(COOKIE, ""))


def known_zone(name: str) -> ZoneInfo | None:
    """The zone with this name; None if it is empty or invalid."""
    if not name or len(name) > _MAX_LENGTH:
        return None
    try:
        validate_timezone(name)
    except ValidationError:
        return None
    return ZoneInfo(name)
