"""Which run the current thread works for, so that lines go to its log and to no other."""

import logging
from contextvars import ContextVar
from typing import TextIO

# The voice by which the handler of a run knows the threads that work for it.
current_voice: ContextVar[object] = ContextVar("current_voice", default=None)


class OutsideRunsHandler(logging.StreamHandler[TextIO]):
    """Writes what is not said within a run: lines of runs are rows, with their secrets hidden."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Not a filter, which is asked later and would cost each line of a run half a microsecond.
        return current_voice.get() is None and super().handle(record)
