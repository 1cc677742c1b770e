"""Limit of simultaneous trials, so that those that hang leave threads of the web process to other requests."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from apps.runs.execution.interruption import RunStopped

# In each web process.
MAX_TRIALS = 3

_lock = threading.Lock()
# When each trial in progress ends at the latest.
_ends: list[float] = []


@contextmanager
def trial_slot(max_seconds: float) -> Iterator[None]:
    """Raises RunStopped if too many trials are in progress; this one takes at most `max_seconds`."""
    now = time.monotonic()
    end = now + max_seconds
    with _lock:
        if len(_ends) >= MAX_TRIALS:
            raise RunStopped(
                _(
                    "%(count)d other previews or tests are in progress. Try again; one of them ends in %(seconds)d s "
                    "at the latest."
                )
                % {"count": MAX_TRIALS, "seconds": max(1, math.ceil(min(_ends) - now))}
            )
        _ends.append(end)
    try:
        yield
    finally:
        with _lock:
            _ends.remove(end)
