"""Schedules: cron expressions in a time zone, and their description."""

from calendar import day_name, month_name
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options
from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

# Languages of the console as cron-descriptor names them; others are described in English.
_LOCALES = {"de": "de_DE"}


def validate_timezone(name: str) -> None:
    """Raises ValidationError unless `name` is a key of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(
            _("Unknown time zone “%(name)s”; write one such as Europe/London or UTC."), params={"name": name}
        ) from None


def validate_cron(expression: str) -> None:
    """Raises ValidationError unless `expression` has five cron fields and a next time."""
    if len(expression.split()) != 5:
        raise ValidationError(
            _(
                "“%(cron)s” does not have five fields; write minute, hour, day, month and weekday, as in */15 * * * *."
            ),
            params={"cron": expression},
        )
    try:
        next(CronSim(expression, datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValidationError(
            _("“%(cron)s” is not a valid cron expression: %(reason)s. Write one such as */15 * * * *."),
            params={"cron": expression, "reason": str(error) or _("the date does not exist")},
        ) from None


def next_scheduled_time(expression: str, timezone: str, *, after: datetime) -> datetime | None:
    """First scheduled time after `after`, in UTC; None if there is none."""
    try:
        return next(CronSim(expression, after.astimezone(ZoneInfo(timezone)))).astimezone(UTC)
    except StopIteration:
        return None


def latest_scheduled_time(expression: str, timezone: str, *, now: datetime) -> datetime | None:
    """Latest scheduled time at or before `now`, in UTC; None if there is none."""
    # The start is exclusive: begin at the next full minute.
    start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    try:
        return next(CronSim(expression, start.astimezone(ZoneInfo(timezone)), reverse=True)).astimezone(UTC)
    except StopIteration:
        return None


def describe_schedule(expression: str) -> str:
    """Description in the active language: `*/15 * * * *` is "every 15 minutes"."""
    options = Options()
    options.locale_code = _LOCALES.get((get_language() or "").split("-")[0], "en_US")
    options.casing_type = CasingTypeEnum.Sentence
    options.use_24hour_time_format = True
    text = str(ExpressionDescriptor(expression, options).get_description())
    # The library uses the day and month names of the process, not of the active language.
    for names, own in ((day_name, WEEKDAYS), (month_name, MONTHS)):
        for number, name in own.items():
            text = text.replace(names[number], str(name))
    return text[:1].lower() + text[1:]
