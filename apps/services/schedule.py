"""Schedules: cron expressions in a time zone, and the same in words."""

from calendar import day_name, month_name
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options
from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

# The languages of the console as the describing library calls them; it falls back on English.
_DESCRIBED_IN = {"de": "de_DE"}


def validate_timezone(name: str) -> None:
    """Raises ValidationError unless `name` is a key of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(
            _("“%(name)s” is no time zone; write one such as Europe/London or UTC."), params={"name": name}
        ) from None


def validate_cron(expression: str) -> None:
    """Raises ValidationError unless `expression` is five cron fields that come round at least once."""
    if len(expression.split()) != 5:
        raise ValidationError(
            _(
                "“%(cron)s” has not five fields; write minute, hour, day, month and weekday, as in */15 * * * *."
            ),
            params={"cron": expression},
        )
    try:
        next(CronSim(expression, datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValidationError(
            _("“%(cron)s” is no cron expression that ever comes round (%(reason)s)."),
            params={"cron": expression, "reason": str(error) or _("no such day")},
        ) from None


def next_slot(expression: str, timezone: str, *, after: datetime) -> datetime | None:
    """The first time strictly after `after` at which the schedule comes round, in UTC."""
    try:
        return next(CronSim(expression, after.astimezone(ZoneInfo(timezone)))).astimezone(UTC)
    except StopIteration:
        return None


def last_slot(expression: str, timezone: str, *, now: datetime) -> datetime | None:
    """The latest time at or before `now` at which the schedule came round, in UTC."""
    # Going backwards leaves the start out, as going forwards does: start at the next full minute.
    start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    try:
        return next(CronSim(expression, start.astimezone(ZoneInfo(timezone)), reverse=True)).astimezone(UTC)
    except StopIteration:
        return None


def in_words(expression: str) -> str:
    """The expression spelled out in the active language: `*/15 * * * *` is "every 15 minutes"."""
    options = Options()
    options.locale_code = _DESCRIBED_IN.get((get_language() or "").split("-")[0], "en_US")
    options.casing_type = CasingTypeEnum.Sentence
    options.use_24hour_time_format = True
    words = str(ExpressionDescriptor(expression, options).get_description())
    # It leaves the names of days and months as the process has them.
    for names, own in ((day_name, WEEKDAYS), (month_name, MONTHS)):
        for number, name in own.items():
            words = words.replace(names[number], str(name))
    return words[:1].lower() + words[1:]
