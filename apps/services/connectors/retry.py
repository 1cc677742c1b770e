"""Tries again what failed for the moment, with growing pauses that a cancelled run need not sit out."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from apps.services.connectors.base import Body, ConnectorError, RunFacts

logger = logging.getLogger(__name__)

# In seconds: the first pause, which doubles with each attempt; the longest of ours; the longest asked for by the
# other system that is granted; how often a pause looks whether the run is to stop.
FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
MAX_RETRY_AFTER = 120.0
SLICE = 0.25

_random = random.SystemRandom()


class TemporaryError(ConnectorError):
    """It may work if tried again, in `retry_after` seconds if the other system said so."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, response: Body | None = None
    ) -> None:
        super().__init__(message, response=response)
        self.retry_after = retry_after


def with_retries[Result](attempt: Callable[[], Result], facts: RunFacts) -> Result:
    """What `attempt` returns; it is called up to `facts.max_attempts` times while it raises TemporaryError.

    Raises ConnectorError with the last failure, and whatever `facts.check` raises.
    """
    for number in range(1, facts.max_attempts + 1):
        facts.check()
        try:
            return attempt()
        except TemporaryError as error:
            # Who was left behind meanwhile says nothing of it.
            facts.check()
            if number == facts.max_attempts:
                tries = "1 attempt" if number == 1 else f"{number} attempts"
                raise ConnectorError(
                    f"{error} (gave up after {tries})", request=error.request, response=error.response
                ) from error
            pause = _pause_before(number + 1) if error.retry_after is None else error.retry_after
            logger.warning(
                "%s (attempt %d of %d, the next in %.1f s)", error, number, facts.max_attempts, pause
            )
            wait(pause, facts.check)
    raise ConnectorError("No attempt is allowed: the maximum number of attempts is 0.")


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Sleeps in slices and calls `check` after each, which raises where the run is to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, SLICE))
        check()


def retry_after_in(header: str | None, *, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date, bounded; None where it says nothing."""
    if not header:
        return None
    try:
        seconds = (
            float(header) if header.strip().isdigit() else _seconds_until(header, now or datetime.now(UTC))
        )
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def _pause_before(attempt: int) -> float:
    """Doubling, and jittered so that many runs do not come back at the same moment."""
    return min(FIRST_PAUSE * 2.0 ** (attempt - 2), MAX_PAUSE) * _random.uniform(0.5, 1.0)
