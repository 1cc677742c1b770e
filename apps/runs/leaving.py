"""Whether the worker is being stopped, and for how long its runs may still go on."""

from __future__ import annotations

import time
from multiprocessing.sharedctypes import RawValue

from django.conf import settings

# When the worker was told to stop, on the clock that only goes forward; 0 = it was not. The processes that it
# forks share this memory.
_told_at = RawValue("d", 0.0)


def announce() -> None:
    """The worker was told to stop: from now on its runs have settings.GRACE_SECONDS left."""
    _told_at.value = _told_at.value or time.monotonic()


def is_grace_over() -> bool:
    """Whether what still runs is to be broken off, so that the worker is gone in time."""
    told_at: float = _told_at.value
    return bool(told_at) and time.monotonic() > told_at + settings.GRACE_SECONDS
