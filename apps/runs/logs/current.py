"""Which run the current thread works for, so that lines go to its log and to no other."""

import logging
from contextvars import ContextVar

# The voice by which the handler of a run knows the threads that work for it.
current_voice: ContextVar[object] = ContextVar("current_voice", default=None)


class OutsideRuns(logging.Filter):
    """Lets through what is not said within a run: lines of runs are rows, with their secrets hidden."""

    def filter(self, record: logging.LogRecord) -> bool:
        return current_voice.get() is None
