"""What a new token is given where nothing else is asked for, and how long it may live."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.api.models import MAX_LIFETIME, ApiToken

DEFAULT_DAYS = 90
MAX_DAYS = MAX_LIFETIME.days
# Reporting runs is for systems that execute them elsewhere, and figures are for monitoring; most are neither.
DEFAULT_SCOPES = [
    scope.value
    for scope in ApiToken.Scope
    if scope not in (ApiToken.Scope.RUN_REPORT, ApiToken.Scope.METRICS_READ)
]


def expiry(days: int, now: datetime) -> datetime:
    """When a token that is made `now` for so many days ends."""
    return now + timedelta(days=days)
