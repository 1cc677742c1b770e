"""Retries of temporary errors, with exponential backoff that a stop interrupts."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from apps.services.connectors.base import Body, ConnectorError, RunContext

logger = logging.getLogger(__name__)

# In seconds: first pause, doubled with each attempt; longest pause; longest Retry-After that is respected; interval
# at which a pause checks whether the run must stop.
FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
MAX_RETRY_AFTER = 120.0
SLICE = 0.2

_random = random.SystemRandom()
# Some servers send decimals.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


class TemporaryError(ConnectorError):
    """An error that a retry may solve, after `retry_after` seconds if the other system says so."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, response: Body | None = None
    ) -> None:
        super().__init__(message, response=response)
        self.retry_after = retry_after


def with_retries[Result](attempt: Callable[[], Result], context: RunContext) -> Result:
    """The result of `attempt`, which is called up to `context.max_attempts` times while it raises TemporaryError.

    Raises ConnectorError with the last error, and the errors of `context.check`.
    """
    for number in range(1, context.max_attempts + 1):
        context.check()
        try:
            return attempt()
        except TemporaryError as error:
            # An abandoned run logs nothing.
            context.check()
            if number == context.max_attempts:
                given_up = f" (gave up after {number} attempts)" if number > 1 else ""
                raise ConnectorError(
                    f"{error}{given_up}", request=error.request, response=error.response
                ) from error
            pause = _pause_before(number + 1) if error.retry_after is None else error.retry_after
            logger.warning(
                "%s (attempt %d of %d; retry in %.1f s)", error, number, context.max_attempts, pause
            )
            wait(pause, context.check)
    raise ConnectorError("No attempt is allowed: the maximum number of attempts is 0.")


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Sleeps in slices and calls `check` after each, which raises if the run must stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, SLICE))
        check()


def retry_after_in(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header (number or date), limited; None if it is missing or invalid."""
    if not header:
        return None
    try:
        is_number = _SECONDS.fullmatch(header.strip())
        seconds = float(header) if is_number else _seconds_until(header, now or datetime.now(UTC))
    except (ValueError, OverflowError):
        return None
    return limited_pause(seconds)


def limited_pause(seconds: float) -> float:
    """`seconds` from 0 to MAX_RETRY_AFTER."""
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def _pause_before(attempt: int) -> float:
    """Exponential backoff with jitter, so that many runs do not retry at the same moment."""
    return min(FIRST_PAUSE * 2.0 ** (attempt - 2), MAX_PAUSE) * _random.uniform(0.5, 1.0)
