"""Descriptions of what is typed into the settings form: a schedule, a JMESPath expression, a connection."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.console.settings.expression_text import expression_text
from apps.console.ui.formatting import schedule_text
from apps.services.definition.connection_url import without_secrets
from apps.services.models import Connection
from apps.services.schedule import next_scheduled_time, validate_cron, validate_timezone


def schedule_text_with_next(expression: str, zone: str, now: datetime) -> str:
    """The schedule in words, and its next time. Raises ValidationError if the schedule is invalid."""
    if not expression.strip():
        return _("No schedule: runs are started only manually or through the API.")
    validate_cron(expression)
    validate_timezone(zone)
    text = schedule_text(expression)
    next_at = next_scheduled_time(expression, zone, after=now)
    next_time = _("never")
    if next_at:
        local = next_at.astimezone(ZoneInfo(zone))
        next_time = f"{date_format(local, 'D')} {date_format(local, 'DATETIME_FORMAT')}"
    return _("%(text)s; next: %(time)s in %(zone)s.") % {
        "text": text[:1].upper() + text[1:],
        "time": next_time,
        "zone": zone,
    }


def describe_schedule(request: HttpRequest) -> JsonResponse:
    """Describes `?value=&timezone=`, or says what is wrong with them."""
    expression, zone = request.GET.get("value", ""), request.GET.get("timezone", "")
    try:
        text = schedule_text_with_next(expression, zone, timezone.now())
        return JsonResponse({"is_valid": True, "text": text})
    except ValidationError as error:
        return JsonResponse({"is_valid": False, "text": " ".join(error.messages)})


def describe_expression(request: HttpRequest) -> JsonResponse:
    """Describes the JMESPath expression `?value=`, or says what is wrong with it."""
    try:
        return JsonResponse({"is_valid": True, "text": expression_text(request.GET.get("value", ""))})
    except ValueError as error:
        return JsonResponse({"is_valid": False, "text": str(error)})


def describe_connection(request: HttpRequest) -> JsonResponse:
    """Kind and address of the connection `?value=`."""
    number = request.GET.get("value", "")
    connections = Connection.objects.not_hidden_from(request.user)
    found = connections.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
    if found is None or not request.user.has_perm("services.view_connection"):
        raise Http404
    return JsonResponse({"kind": found.kind, "text": without_secrets(found.url)})
