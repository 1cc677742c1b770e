"""The logging handler that turns what is logged within a run into numbered lines of its spool."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from django.conf import settings

from apps.runs.logs.current import current_voice
from apps.runs.logs.spool import Spool, escape
from apps.runs.logs.tail import Tail
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
        # Only threads that have it are heard.
        self.voice = object()
        self.last_sequence = sequence
        self.warning_count = 0
        self.error_count = 0
        # The first error's number and first line.
        self.first_error: tuple[int, str] | None = None
        # Lines that the disk did not take, and why.
        self.lost_count = 0
        self.lost_reason = ""
        # The latest lines, once the log has outgrown its limit.
        self.tail: Tail | None = None
        self._run_id = run_id
        self._spool = spool
        self._append = spool.append
        # Half of what a log may hold is its head.
        self._head_lines = settings.MAX_LOG_LINES // 2
        self._head_bytes = settings.MAX_LOG_BYTES // 2
        # Lost lines that no line has told of yet.
        self._untold_count = 0
        self._mask = masker(secrets)
        self._echo = echo
        self._second = -1
        self._second_text = ""

    @property
    def next_place(self) -> int:
        """The number of the next line, as far as that is known: beyond the limit, that of the head's last."""
        return self.last_sequence + 1 if self.tail is None else self.tail.head

    def filter(self, record: logging.LogRecord) -> bool:
        return current_voice.get() is self.voice

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
        if self._untold_count:
            self._tell_losses(created)
        if self.tail is None and (
            self.last_sequence >= self._head_lines or self._spool.size >= self._head_bytes
        ):
            self._begin_tail(created)
        return self._put(created, level, message)

    def _put(self, created: float, level: Level, message: str) -> bool:
        sequence = self.last_sequence + 1
        line = f"{self._run_id}\t{sequence}\t{self._time(created)}\t{level}\t{self.step}\t{escape(message)}\n"
        try:
            self._append(line.encode())
        except OSError as error:
            self.lost_count += 1
            self._untold_count += 1
            self.lost_reason = f"the spool could not be written: {error.strerror}"
            return False
        self.last_sequence = sequence
        return True

    def _tell_losses(self, created: float) -> None:
        """Say in a line of its own how many were lost, as soon as the disk takes lines again."""
        count = self._untold_count
        lines = "line was" if count == 1 else "lines were"
        if self._put(created, Level.WARNING, f"… {count:,} {lines} lost here: {self.lost_reason} …"):
            self._untold_count = 0
            self.warning_count += 1
        else:
            # The notice is none of the lines that the run logged.
            self.lost_count -= 1
            self._untold_count -= 1

    def _begin_tail(self, created: float) -> None:
        """From here on the middle of the log is left out."""
        most_lines, most_bytes = settings.MAX_LOG_LINES, settings.MAX_LOG_BYTES
        notice = (
            f"The log has reached half of its limit of {most_lines:,} lines and {most_bytes / 2**20:g} MiB: "
            "of what follows only the latest lines are kept, and shown when the run ends"
        )
        if not self._put(created, Level.WARNING, notice):
            self.lost_count -= 1
            self._untold_count -= 1
            return
        self.warning_count += 1
        self.tail = Tail(
            self._spool.path,
            self.last_sequence,
            most_lines=most_lines - self._head_lines,
            most_bytes=most_bytes - self._head_bytes,
        )
        self._append = self.tail.append

    def _count(self, level: Level, message: str) -> None:
        if level is Level.WARNING:
            self.warning_count += 1
        elif level is Level.ERROR:
            self.error_count += 1
            if self.first_error is None:
                place = self.last_sequence if self.tail is None else self.tail.head
                self.first_error = (place, message.partition("\n")[0])

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
