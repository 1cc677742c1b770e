"""Celery with another clock: python -m tests.faults.clock_ahead -A config worker …

The clock is a day ahead, or as many seconds as the file in CLOCK_FILE says, which may change at any time.
"""

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from celery.__main__ import main
from django.utils import timezone

_file = os.environ.get("CLOCK_FILE")
_real_time, _real_time_ns, _real_now = time.time, time.time_ns, timezone.now


def _ahead() -> timedelta:
    return timedelta(seconds=int(Path(_file).read_text())) if _file else timedelta(days=1)


def _time() -> float:
    return _real_time() + _ahead().total_seconds()


def _time_ns() -> int:
    return _real_time_ns() + int(_ahead().total_seconds()) * 10**9


def _now() -> datetime:
    return _real_now() + _ahead()


# The worker forks its children from this process, so they inherit its clock.
time.time, time.time_ns, timezone.now = _time, _time_ns, _now

if __name__ == "__main__":
    main()
