"""Celery with a clock that is a day ahead: python -m tests.faults.clock_ahead -A config worker …"""

import time
from datetime import datetime, timedelta

from celery.__main__ import main
from django.utils import timezone

AHEAD = timedelta(days=1)
_real_time, _real_time_ns, _real_now = time.time, time.time_ns, timezone.now


def _time() -> float:
    return _real_time() + AHEAD.total_seconds()


def _time_ns() -> int:
    return _real_time_ns() + int(AHEAD.total_seconds()) * 10**9


def _now() -> datetime:
    return _real_now() + AHEAD


# The worker forks its children from this process, so they inherit its clock.
time.time, time.time_ns, timezone.now = _time, _time_ns, _now

if __name__ == "__main__":
    main()
