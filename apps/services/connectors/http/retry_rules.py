"""Which responses are retried, and after what pause."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from apps.services.connectors.retry import limited_pause, retry_after_in

# 520 to 530 are Cloudflare's.
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504, *range(520, 531)}
# Statuses with which a gateway says that it received no response, although it may have sent the request.
_WITHOUT_RESPONSE = {502, 504, 520, 522, 524, 527}
# Statuses of a server that limits the rate of requests. Others send the reset of the limit with every response.
_RATE_LIMITED = {403, 429, 503}
_RESET_HEADERS = ("RateLimit-Reset", "X-RateLimit-Reset")
_REMAINING_HEADERS = ("RateLimit-Remaining", "X-RateLimit-Remaining")
# Numbers from here on are seconds since 1970, and from there on milliseconds.
_FIRST_EPOCH = 10**9
_FIRST_EPOCH_MS = 10**12


def is_temporary(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a retry may succeed. GitHub, among others, responds with 403 when no request is left."""
    if status == 403:
        return any(headers.get(name, "").strip() == "0" for name in _REMAINING_HEADERS)
    return status in _TEMPORARY


def may_have_arrived(status: int) -> bool:
    """Whether another server may have processed the request, although a gateway responds with an error."""
    return status in _WITHOUT_RESPONSE


def pause_in(status: int, headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds until the server expects the next request, None if it does not say."""
    now = now or datetime.now(UTC)
    if (pause := retry_after_in(headers.get("Retry-After"), now=now)) is not None:
        return pause
    if status not in _RATE_LIMITED:
        return None
    for name in _RESET_HEADERS:
        if (seconds := _seconds_until_reset(headers.get(name), now)) is not None:
            return limited_pause(seconds)
    return None


def _seconds_until_reset(header: str | None, now: datetime) -> float | None:
    """Seconds of a header that contains them or a time; None if it is missing, invalid or in the past."""
    try:
        reset = float(header or "")
    except ValueError:
        return None
    if reset >= _FIRST_EPOCH_MS:
        reset /= 1000
    if reset >= _FIRST_EPOCH:
        reset -= now.timestamp()
    return reset if reset > 0 else None
