"""Time zone of the reader, which ui/times.js stores in a cookie."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from apps.services.schedule import validate_timezone

COOKIE = "synclog_zone"


class ReaderZone:
    """Middleware that activates the zone for the console; the API uses UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get(COOKIE, "")
        if not name or len(name) > 64 or not request.path.startswith(reverse("admin:index")):
            return self.get_response(request)
        try:
            validate_timezone(name)
        except ValidationError:
            return self.get_response(request)
        with timezone.override(ZoneInfo(name)):
            return self.get_response(request)
