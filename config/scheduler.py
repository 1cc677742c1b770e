"""Celery's scheduler of periodic tasks, for hosts whose clock may be set back."""

from datetime import UTC, datetime
from typing import Any

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):  # type: ignore[misc] # Celery ships no types.
    """Continues at once after the clock was set back.

    Celery's own would send nothing until the clock shows the former time again, also after a restart.
    """

    def tick(self, *args: Any, **options: Any) -> float:
        now = datetime.now(UTC)
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > now]
        for entry in ahead:
            entry.last_run_at = now
        if ahead:
            # The next tick computes the times of all tasks again.
            self._heap = None
        return float(super().tick(*args, **options))
