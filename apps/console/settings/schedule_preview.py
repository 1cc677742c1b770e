"""Schedules in words, beside the field where they are written."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.console.ui.formatting import schedule_text
from apps.services.schedule import next_slot, validate_cron, validate_timezone


def schedule_words(expression: str, zone: str, now: datetime) -> str:
    """The schedule spelled out, and when it comes round next. Raises ValidationError if it never does."""
    if not expression.strip():
        return _("No schedule: it runs when somebody starts it.")
    validate_cron(expression)
    validate_timezone(zone)
    words = schedule_text(expression)
    slot = next_slot(expression, zone, after=now)
    following = date_format(slot.astimezone(ZoneInfo(zone)), "D j M Y, H:i") if slot else _("never")
    return _("%(words)s; next: %(time)s in %(zone)s.") % {
        "words": words[:1].upper() + words[1:],
        "time": following,
        "zone": zone,
    }


def describe_schedule(request: HttpRequest) -> JsonResponse:
    """The words for `?schedule=&timezone=`, or what is wrong with them, for whoever is typing."""
    expression, zone = request.GET.get("schedule", ""), request.GET.get("timezone", "")
    try:
        return JsonResponse({"is_valid": True, "words": schedule_words(expression, zone, timezone.now())})
    except ValidationError as error:
        return JsonResponse({"is_valid": False, "words": " ".join(error.messages)})
