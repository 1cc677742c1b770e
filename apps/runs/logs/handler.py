"""The logging handler that turns what is logged within a run into numbered lines of its spool."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from apps.runs.logs.current import current_handler
from apps.runs.logs.spool import Spool, escape
from apps.runs.logs.text import clean, masker
from apps.runs.models import Level, Step

type Echo = Callable[[float, Level, Step, str], None]

_TRACES = logging.Formatter()


class RunLogHandler(logging.Handler):
    """Numbers, cleans and spools each line of one run; costs one write and a few microseconds a line."""

    def __init__(
        self, run_id: int, spool: Spool, *, sequence: int, secrets: Iterable[str], echo: Echo | None = None
    ) -> None:
        super().__init__()
        self.step = Step.START
        self.last_sequence = sequence
        self.warning_count = 0
        self.error_count = 0
        # The first error's number and first line.
        self.first_error: tuple[int, str] | None = None
        # Lines that the disk did not take, and why.
        self.lost_count = 0
        self.lost_reason = ""
        self._run_id = run_id
        self._spool = spool
        self._mask = masker(secrets)
        self._echo = echo
        self._second = -1
        self._second_text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        return current_handler.get() is self

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError) as error:
            # A faulty call must not end the run, nor vanish.
            message = f"{record.msg!s} [the arguments do not fit: {error}]"
        if record.exc_info:
            message = f"{message}\n{_TRACES.formatException(record.exc_info)}"
        if self._mask is not None:
            message = self._mask(message)
        message = clean(message)
        level = _level(record.levelno)
        if self._write(record.created, level, message):
            self._count(level, message)
            if self._echo is not None:
                self._echo(record.created, level, self.step, message)

    def _write(self, created: float, level: Level, message: str) -> bool:
        sequence = self.last_sequence + 1
        line = f"{self._run_id}\t{sequence}\t{self._time(created)}\t{level}\t{self.step}\t{escape(message)}\n"
        try:
            self._spool.append(line.encode())
        except OSError as error:
            self.lost_count += 1
            self.lost_reason = f"the spool could not be written: {error.strerror}"
            return False
        self.last_sequence = sequence
        return True

    def _count(self, level: Level, message: str) -> None:
        if level is Level.WARNING:
            self.warning_count += 1
        elif level is Level.ERROR:
            self.error_count += 1
            if self.first_error is None:
                self.first_error = (self.last_sequence, message.partition("\n")[0])

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{int((created - second) * 1_000_000):06d}+00"


def _level(number: int) -> Level:
    if number < logging.INFO:
        return Level.DEBUG
    if number < logging.WARNING:
        return Level.INFO
    return Level.WARNING if number < logging.ERROR else Level.ERROR
