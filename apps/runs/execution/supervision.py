"""Supervision: runs work that may hang in a thread of its own, so that the run can end without it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread

from django.db import connections

logger = logging.getLogger(__name__)

# In seconds: the interval of checks, and the time that the work has to stop by itself.
CHECK_INTERVAL = 0.25
STOP_TIMEOUT = 1.5
THREAD_NAME = "supervised"


def supervise[Result](
    work: Callable[[], Result],
    check: Callable[[], None],
    abandon: Callable[[], None],
    *,
    stop_timeout: float = STOP_TIMEOUT,
) -> Result:
    """Runs `work` in another thread with the context of this one; returns its result or raises its error.

    `check` is called every quarter of a second and raises if the work must stop. The work then has `stop_timeout`
    seconds to stop by itself. If it hangs longer, it is abandoned: `abandon` is called, which must prevent any
    effect when the work wakes up, and the error of `check` is raised.
    """
    outcome: Future[Result] = Future()
    thread = Thread(target=copy_context().run, args=(_run, work, outcome), name=THREAD_NAME, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(CHECK_INTERVAL)
        try:
            check()
        except Exception:
            thread.join(stop_timeout)
            if thread.is_alive():
                abandon()
                logger.debug("The current operation did not stop and is abandoned:\n%s", _position_of(thread))
                raise
    return outcome.result()


def _run[Result](work: Callable[[], Result], outcome: Future[Result]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised again in the waiting thread
        outcome.set_exception(error)
    finally:
        connections.close_all()


def _position_of(thread: Thread) -> str:
    """Position of the thread, as the end of a traceback."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame, limit=8)).rstrip() if frame else "(nowhere)"
