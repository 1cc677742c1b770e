"""Works on what may hang in a thread of its own, so that a run that is to stop goes on to its end without it."""

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

# In seconds: how often one looks whether the run is to stop, and how long the work may take to notice it itself.
LOOK_EVERY = 0.25
PATIENCE = 1.5
THREAD = "supervised"


def supervise[Result](
    work: Callable[[], Result],
    check: Callable[[], None],
    leave: Callable[[], None],
    *,
    patience: float = PATIENCE,
) -> Result:
    """What `work` returns or raises; it runs in another thread, with the context variables of this one.

    `check` is called every quarter of a second, and raises where the work is to stop. It then has `patience`
    seconds to do so by itself. If it hangs for longer it is left behind: `leave` is called, which must see to it
    that the work does no more harm when it wakes up, and the error of `check` goes on to the caller.
    """
    outcome: Future[Result] = Future()
    thread = Thread(target=copy_context().run, args=(_carry_out, work, outcome), name=THREAD, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_EVERY)
        try:
            check()
        except Exception:
            thread.join(patience)
            if thread.is_alive():
                leave()
                logger.debug("What was under way did not stop, and is left behind:\n%s", _place_of(thread))
                raise
    return outcome.result()


def _carry_out[Result](work: Callable[[], Result], outcome: Future[Result]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is wanted
        outcome.set_exception(error)
    finally:
        connections.close_all()


def _place_of(thread: Thread) -> str:
    """Where the thread is, as the end of a traceback."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame, limit=8)).rstrip() if frame else "(nowhere)"
