"""Description of a schedule, shown beside its field while it is typed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.console.ui.formatting import schedule_text
from apps.services.schedule import next_scheduled_time, validate_cron, validate_timezone


def schedule_text_with_next(expression: str, zone: str, now: datetime) -> str:
    """The schedule in words, and its next time. Raises ValidationError if the schedule is invalid."""
    if not expression.strip():
        return _("No schedule: runs are started only manually or through the API.")
    validate_cron(expression)
    validate_timezone(zone)
    text = schedule_text(expression)
    next_at = next_scheduled_time(expression, zone, after=now)
    next_time = date_format(next_at.astimezone(ZoneInfo(zone)), "D j M Y, H:i") if next_at else _("never")
    return _("%(text)s; next: %(time)s in %(zone)s.") % {
        "text": text[:1].upper() + text[1:],
        "time": next_time,
        "zone": zone,
    }


def schedule_preview(request: HttpRequest) -> JsonResponse:
    """Describes `?schedule=&timezone=`, or says what is wrong with them."""
    expression, zone = request.GET.get("schedule", ""), request.GET.get("timezone", "")
    try:
        text = schedule_text_with_next(expression, zone, timezone.now())
        return JsonResponse({"is_valid": True, "text": text})
    except ValidationError as error:
        return JsonResponse({"is_valid": False, "text": " ".join(error.messages)})
