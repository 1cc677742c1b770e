"""Limit of simultaneous trials, so that those that hang leave threads of the web process to other requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from apps.runs.execution.interruption import RunStopped

# In each web process.
MAX_TRIALS = 3

_slots = threading.BoundedSemaphore(MAX_TRIALS)


@contextmanager
def trial_slot() -> Iterator[None]:
    """Raises RunStopped if too many trials are in progress."""
    if not _slots.acquire(blocking=False):
        raise RunStopped(f"{MAX_TRIALS} other previews or tests are in progress. Try again in half a minute.")
    try:
        yield
    finally:
        _slots.release()
