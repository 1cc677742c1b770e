"""How often one token or one address may ask in a minute.

Each web process counts for itself and in memory: that needs no server, cannot fail, and bounds what one client
takes from one process, which is what it is for. A token of 256 random bits needs no lock against guessing.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

_WINDOW = 60
# Names that are counted at once; beyond that a flood of addresses begins the minute anew.
_MOST_NAMES = 100_000


class MinuteCounter:
    """Counts by name within the minute of the clock."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str, most: int) -> int:
        """Count one more; 0 while there are no more than `most`, else the seconds until the next minute."""
        if not most:
            return 0
        now = self._clock()
        with self._lock:
            minute = int(now // _WINDOW)
            if minute != self._minute or len(self._counts) > _MOST_NAMES:
                self._minute = minute
                self._counts.clear()
            self._counts[name] += 1
            is_within = self._counts[name] <= most
        return 0 if is_within else max(1, math.ceil(_WINDOW - now % _WINDOW))

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()


counter = MinuteCounter()


def count_failure(address: str | None) -> int:
    """Count a wrong token; 0, or the seconds for which the address should let it be."""
    return counter.count(f"failure {address}", settings.API_FAILURE_RATE)


class _Throttle(BaseThrottle):
    """Lets through until the minute's share is used up."""

    _wait = 0

    def wait(self) -> float:
        return self._wait


class TokenThrottle(_Throttle):
    """By token."""

    def allow_request(self, request: Request, view: Any) -> bool:
        self._wait = counter.count(f"token {getattr(request.auth, 'pk', None)}", settings.API_TOKEN_RATE)
        return not self._wait


class AddressThrottle(_Throttle):
    """By the address that the connection came from; behind a proxy that is the proxy's."""

    def allow_request(self, request: Request, view: Any) -> bool:
        address = request.META.get("REMOTE_ADDR", "")
        self._wait = counter.count(f"address {address}", settings.API_ADDRESS_RATE)
        return not self._wait
