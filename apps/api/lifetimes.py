"""Default scopes and lifetime of tokens."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.api.models import MAX_LIFETIME, ApiToken

DEFAULT_DAYS = 90
MAX_DAYS = MAX_LIFETIME.days
# Reporting and metrics are for few tokens.
DEFAULT_SCOPES = [
    scope.value
    for scope in ApiToken.Scope
    if scope not in (ApiToken.Scope.RUN_REPORT, ApiToken.Scope.METRICS_READ)
]


def expiry(days: int, now: datetime) -> datetime:
    """Expiry of a token that is created `now` for this many days."""
    return now + timedelta(days=days)
