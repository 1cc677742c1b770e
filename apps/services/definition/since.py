"""Incremental pulls: the options of `{since}`, and the arithmetic of its values."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from apps.services.definition.option_types import JMESPath, Options, Text, WholeNumber, shorten
from apps.services.exact_json import Parser

RUN_START = "run_start"
MAX_SINCE_LENGTH = 500
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.[0-9]{1,99})?")
# Larger numbers are milliseconds since 1970, smaller ones seconds.
_FIRST_MILLISECONDS = 10**11
# Dates and times without time zone may belong to any zone.
_TOLERANCE = timedelta(days=1)


def _as_text(value: Any) -> Any:
    """YAML and clients of the API may give numbers and dates."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if is_number else value


type SinceText = Annotated[Text, BeforeValidator(_as_text, json_schema_input_type=Text | float)]


class Since(Options):
    """The value of `{since}`."""

    from_: JMESPath = Field(
        RUN_START,
        alias="from",
        validate_default=True,
        title=_("Value of {since}"),
        description=_(
            "run_start: the start of the last successful run. Otherwise a JMESPath on the records, such as updated_at, "
            "of which the maximum counts."
        ),
    )
    first: SinceText = Field(
        "",
        title=_("First value"),
        description=_("Value of {since} in the first run, such as 2026-01-01T00:00:00Z. Empty: none."),
    )
    overlap_seconds: WholeNumber = Field(
        0,
        ge=0,
        le=366 * 24 * 3600,
        title=_("Overlap (s)"),
        description=_("Subtracted from {since}, so that records that arrive late are pulled."),
    )

    @field_validator("first")
    @classmethod
    def _check_first(cls, value: str, info: ValidationInfo) -> str:
        origin = info.data.get("from_")
        return check_since(value, is_time=origin is not None and origin.text == RUN_START) if value else ""

    @property
    def is_run_start(self) -> bool:
        return self.from_.text == RUN_START


def check_since(text: str, *, is_time: bool) -> str:
    """`text`, as a UTC time if `is_time`. Raises ValueError if it is not a time or in the future."""
    text = text.strip()
    moment = moment_of(text)
    if moment is None and is_time:
        raise ValueError(
            gettext("“%(value)s” is not a time; write one such as 2026-01-01T00:00:00Z.")
            % {"value": shorten(text)}
        )
    if moment is not None and moment > timezone.now() + _TOLERANCE:
        raise ValueError(
            gettext("“%(value)s” is in the future; write an earlier time.") % {"value": shorten(text)}
        )
    return utc_text(moment) if moment is not None and is_time else text


def moment_of(text: str) -> datetime | None:
    """The time of an ISO 8601 date or time, in UTC unless it names another time zone; None for other texts."""
    try:
        moment = datetime.fromisoformat(text) if _DATE.match(text) else None
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def utc_text(moment: datetime) -> str:
    """`2026-01-01T00:00:00Z`, rounded down to a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_value(text: str, *, is_time: bool) -> Any:
    """`text` as a number if it is one, as in the records."""
    return Parser().parse(text) if _NUMBER.fullmatch(text) and not is_time else text


def sort_key(text: str) -> tuple[int, Any]:
    """Key by which values are compared: numbers as numbers, times as times in any time zone, others as text."""
    if _NUMBER.fullmatch(text):
        return 0, Decimal(text)
    moment = moment_of(text)
    return (2, text) if moment is None else (1, moment)


def earlier(text: str, seconds: int) -> str:
    """`text` minus `seconds`, in the same spelling; other text than a number or a time is returned unchanged."""
    if not seconds:
        return text
    if _NUMBER.fullmatch(text):
        number = Decimal(text)
        return f"{number - (seconds * 1000 if abs(number) >= _FIRST_MILLISECONDS else seconds):f}"
    if moment_of(text) is None:
        return text
    try:
        return in_spelling_of(text, datetime.fromisoformat(text) - timedelta(seconds=seconds))
    except OverflowError:
        return text


def in_spelling_of(text: str, moment: datetime) -> str:
    """`moment` with the time zone, the precision and the separators of the time `text`."""
    if len(text) == len("2026-01-01"):
        return moment.date().isoformat()
    zone = datetime.fromisoformat(text).tzinfo
    moment = moment.astimezone(zone) if zone and moment.tzinfo else moment.replace(tzinfo=zone)
    fraction = re.search(r"[.,]([0-9]+)", text)
    precision = "seconds" if fraction is None else "milliseconds" if len(fraction[1]) <= 3 else "microseconds"
    written = moment.isoformat(text[10], precision)
    return written.replace("+00:00", "Z") if text[-1] in "zZ" else written
