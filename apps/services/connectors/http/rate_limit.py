"""Limit on the requests per minute of a connection, which counts for all runs and workers together."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connection

from apps.services.connectors.base import RunContext
from apps.services.connectors.retry import wait
from apps.services.models import Connection, ConnectionState

logger = logging.getLogger(__name__)

# Waits from this number of seconds on are logged; of shorter ones, only the first.
_LONG_WAIT = 10.0


class RateLimit:
    """Spaces the requests of one run to one connection."""

    def __init__(self, system: Connection, context: RunContext) -> None:
        self._system = system
        self._context = context
        self._has_waited = False

    def wait(self) -> None:
        """Waits until the next request is allowed. Raises the errors of `RunContext.check`."""
        if not self._system.requests_per_minute:
            return
        seconds = self._reserve(timedelta(minutes=1) / self._system.requests_per_minute).total_seconds()
        if seconds > 0 and (seconds >= _LONG_WAIT or not self._has_waited):
            self._has_waited = True
            logger.info(
                "Waiting %.1f s: connection %s allows %d requests per minute for all runs together",
                seconds,
                self._system.name,
                self._system.requests_per_minute,
            )
        wait(seconds, self._context.check)

    def _reserve(self, interval: timedelta) -> timedelta:
        """The time to wait. While the database is down, each run keeps the interval on its own."""
        if self._system._state.adding:
            return interval
        try:
            return ConnectionState.objects.reserve_request(self._system.pk, interval)
        except (DatabaseError, InterfaceError):
            connection.close_if_unusable_or_obsolete()
            return interval
