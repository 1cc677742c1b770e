"""Which run the current thread works for, so that lines go to its log and to no other."""

import logging
from contextvars import ContextVar
from typing import TextIO


class Voice:
    """What the threads of a run speak with; nobody hears it once `handler` is none."""

    def __init__(self, handler: logging.Handler) -> None:
        self.handler: logging.Handler | None = handler


current_voice: ContextVar[Voice | None] = ContextVar("current_voice", default=None)


class _ToRuns(logging.Handler):
    """Hands what is said within a run to the run's own handler.

    It stays at the root logger. Were each run's handler there, each line would ask all of them, and when one were
    taken away, `logging` would now and then pass over another that had a line coming just then.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        voice = current_voice.get()
        # Looked up once, for another thread may hush the voice just now.
        handler = voice.handler if voice is not None else None
        return handler is not None and handler.handle(record)


class OutsideRunsHandler(logging.StreamHandler[TextIO]):
    """Writes what is not said within a run: lines of runs are rows, with their secrets hidden."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Not a filter, which is asked later and would cost each line of a run half a microsecond.
        return current_voice.get() is None and super().handle(record)


_to_runs = _ToRuns()


def listen(handler: logging.Handler) -> Voice:
    """Let this thread, and those that take its context along, speak to the handler until its voice is hushed."""
    logging.getLogger().addHandler(_to_runs)
    voice = Voice(handler)
    current_voice.set(voice)
    return voice


def hush(voice: Voice) -> None:
    """From here on nobody hears who speaks with the voice."""
    voice.handler = None
    if current_voice.get() is voice:
        current_voice.set(None)
