"""Whether the worker is being stopped, and for how long its runs may still go on."""

from __future__ import annotations

import mmap
import time

from django.conf import settings

# When the worker was told to stop, on the clock that only goes forward; 0 = it was not. Memory that the processes
# that it forks share.
_told_at = memoryview(mmap.mmap(-1, 8)).cast("d")


def announce() -> None:
    """The worker was told to stop: from now on its runs have settings.GRACE_SECONDS left."""
    _told_at[0] = _told_at[0] or time.monotonic()


def is_grace_over() -> bool:
    """Whether what still runs is to be broken off, so that the worker is gone in time."""
    return bool(_told_at[0]) and time.monotonic() > _told_at[0] + settings.GRACE_SECONDS
