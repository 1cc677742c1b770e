"""Which run the current thread works for, so that lines go to its log and to no other."""

import logging
from contextvars import ContextVar

# The handler of the run that this thread executes.
current_handler: ContextVar[logging.Handler | None] = ContextVar("current_handler", default=None)


class OutsideRuns(logging.Filter):
    """Lets through what is not said within a run: lines of runs are rows, with their secrets hidden."""

    def filter(self, record: logging.LogRecord) -> bool:
        return current_handler.get() is None
