"""Log context: binds threads to the log of the run that they work for."""

import logging
from contextvars import ContextVar
from typing import TextIO


class LogBinding:
    """Binding of threads to a log; without `handler` their lines are dropped."""

    def __init__(self, handler: logging.Handler) -> None:
        self.handler: logging.Handler | None = handler


current_binding: ContextVar[LogBinding | None] = ContextVar("current_binding", default=None)


class _RunDispatcher(logging.Handler):
    """Passes records to the handler of the run that the current thread works for.

    It stays on the root logger. With one handler per run there, each line would pass all of them, and removing one
    could make `logging` skip another.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        binding = current_binding.get()
        # Read once, because another thread may unbind at any moment.
        handler = binding.handler if binding is not None else None
        return handler is not None and handler.handle(record)


class OutsideRunsHandler(logging.StreamHandler[TextIO]):
    """Writes lines outside of runs to a stream: lines of runs are stored in the database, with masked secrets."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Not a filter: it would cost each line of a run half a microsecond.
        return current_binding.get() is None and super().handle(record)


_run_dispatcher = _RunDispatcher()


def bind_thread(handler: logging.Handler) -> LogBinding:
    """Binds this thread, and threads that inherit its context, to the handler."""
    logging.getLogger().addHandler(_run_dispatcher)
    binding = LogBinding(handler)
    current_binding.set(binding)
    return binding


def unbind(binding: LogBinding) -> None:
    """Detaches all threads of the binding: their lines are dropped from now on."""
    binding.handler = None
    if current_binding.get() is binding:
        current_binding.set(None)
