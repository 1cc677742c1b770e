"""Worker shutdown state and the remaining grace period."""

from __future__ import annotations

import mmap
import time

from django.conf import settings

# Monotonic time when the shutdown began, 0 = not yet. Shared memory, which forked processes see as well.
_started_at = memoryview(mmap.mmap(-1, 8)).cast("d")


def start_grace_period() -> None:
    """Starts the grace period: the runs of this worker have settings.GRACE_SECONDS left."""
    _started_at[0] = _started_at[0] or time.monotonic()


def is_grace_period_over() -> bool:
    """Whether runs that are still open must be stopped now."""
    return bool(_started_at[0]) and time.monotonic() > _started_at[0] + settings.GRACE_SECONDS
