"""Functions that scripts may call in addition to Starlark: pure functions on text and numbers.

They run in the child process. `apps.services.sandbox.guide` describes them to authors of scripts.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

# By module and name in scripts.
type Library = dict[str, dict[str, Callable[..., object]]]


def _moment(value: str) -> date:
    """A date of ISO 8601, with or without a time."""
    if not isinstance(value, str):
        raise TypeError(
            f"{value!r} is not a date; write it as text, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        )
    try:
        return date.fromisoformat(value) if len(value) == len("2026-01-31") else datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is not an ISO 8601 date, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


def _with_time(value: str) -> datetime:
    """The time in UTC; midnight if there is no time, UTC if there is no zone."""
    moment = _moment(value)
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(moment: date) -> str:
    text = moment.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def parse_date(text: str, pattern: str) -> str:
    moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - the text contains the zone, if there is one
    has_time = re.search(r"%[^aAbBdmyYjUWuwGVx%-]", pattern) is not None
    return _text(moment if has_time else moment.date())


def format_date(value: str, pattern: str) -> str:
    return _moment(value).strftime(pattern)


def add_to_date(value: str, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> str:
    moment = _moment(value)
    if not isinstance(moment, datetime) and (hours or minutes or seconds):
        raise ValueError(f"{value!r} has no time to add hours, minutes or seconds to")
    return _text(moment + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))


def date_in_utc(value: str) -> str:
    return _text(_with_time(value))


def seconds_between(first: str, second: str) -> float:
    return (_with_time(second) - _with_time(first)).total_seconds()


def date_to_epoch(value: str) -> float:
    return _with_time(value).timestamp()


def date_from_epoch(seconds: float) -> str:
    return _text(datetime.fromtimestamp(seconds, UTC))


def find(pattern: str, text: str) -> list[str | None] | None:
    found = re.search(pattern, text)
    return [found[0], *found.groups()] if found else None


def find_all(pattern: str, text: str) -> list[list[str | None]]:
    return [[found[0], *found.groups()] for found in re.finditer(pattern, text)]


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def replace(pattern: str, replacement: str, text: str) -> str:
    return re.sub(pattern, replacement, text)


def split(pattern: str, text: str) -> list[str | None]:
    return re.split(pattern, text)


def _bytes(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not text; write str(…) around it")
    return text.encode()


def sha256(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def md5(text: str) -> str:
    return hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()


def base64_encode(text: str) -> str:
    return base64.b64encode(_bytes(text)).decode()


def base64_decode(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


LIBRARY: Library = {
    "dates": {
        "parse": parse_date,
        "format": format_date,
        "add": add_to_date,
        "utc": date_in_utc,
        "seconds_between": seconds_between,
        "to_epoch": date_to_epoch,
        "from_epoch": date_from_epoch,
    },
    "regex": {"find": find, "find_all": find_all, "matches": matches, "replace": replace, "split": split},
    "hashing": {"sha256": sha256, "md5": md5},
    "base64": {"encode": base64_encode, "decode": base64_decode},
}
