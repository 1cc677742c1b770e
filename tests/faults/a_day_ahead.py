"""Celery on a machine whose clock is a day ahead: python -m tests.faults.a_day_ahead -A config worker …"""

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


# The children of the worker are forked from this process, and inherit its clock.
time.time, time.time_ns, timezone.now = _time, _time_ns, _now

if __name__ == "__main__":
    main()
