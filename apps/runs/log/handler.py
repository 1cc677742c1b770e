"""The logging handler that turns what is logged within a run into numbered lines of its spool."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from django.conf import settings

from apps.runs.log.spool import Spool, escape
from apps.runs.log.spool_tail import Tail
from apps.runs.log.text import clean, masker
from apps.runs.models import Level, Step

type Echo = Callable[[float, Level, Step, str], None]

# Of new lines in the spool, for which the shipper is woken.
WAKE_BYTES = 1024 * 1024

_TRACES = logging.Formatter()


class RunLogHandler(logging.Handler):
    """Numbers, cleans and spools each line of one run; costs one write and a few microseconds a line."""

    def __init__(
        self,
        run_id: int,
        spool: Spool,
        *,
        sequence: int,
        secrets: Iterable[str],
        wake: Callable[[], None] = lambda: None,
        echo: Echo | None = None,
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
        # The latest lines, once the log has outgrown its limit.
        self.tail: Tail | None = None
        self._run_id = run_id
        self._spool = spool
        self._append = spool.append
        # Told each time when there is enough for the shipper not to wait any longer.
        self._wake = wake
        self._wake_size = spool.size + WAKE_BYTES
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

    @property
    def step(self) -> Step:
        return self._step

    @step.setter
    def step(self, step: Step) -> None:
        self._step = step
        # What stands in a line between its time and its message, by the number of the record's level.
        self._middles = {level.value: _middle(level, step) for level in Level}

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record: there is no filter to ask, which would take as long as the half of it."""
        with self.lock:  # type: ignore[union-attr] # It is none only before __init__.
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        # A faulty call must not end the run, nor vanish.
        except Exception as error:  # noqa: BLE001 - a KeyError, or whatever the text of an argument raises
            message = f"{record.msg!s} [the arguments do not fit: {error}]"
        if record.exc_info:
            message = f"{message}\n{_TRACES.formatException(record.exc_info)}"
        if self._mask is not None:
            message = self._mask(message)
        message = clean(message)
        if self._untold_count:
            self._tell_losses(record.created)
        if self.tail is None and (
            self.last_sequence >= self._head_lines or self._spool.size >= self._head_bytes
        ):
            self._begin_tail(record.created)
        if self._put(record.created, record.levelno, message):
            if record.levelno >= Level.WARNING:
                self._count(record.levelno, message)
            if self._echo is not None:
                self._echo(record.created, _level(record.levelno), self._step, message)

    def _put(self, created: float, level: int, message: str) -> bool:
        sequence = self.last_sequence + 1
        middle = self._middles.get(level) or _middle(_level(level), self._step)
        try:
            self._append(
                f"{self._run_id}\t{sequence}\t{self._time(created)}{middle}{escape(message)}\n".encode()
            )
        except OSError as error:
            self.lost_count += 1
            self._untold_count += 1
            self.lost_reason = f"the spool could not be written: {error.strerror}"
            with suppress(OSError):
                # Should this worker die, nobody else knows of them.
                self._spool.note_losses(self.lost_count, self.lost_reason)
            return False
        self.last_sequence = sequence
        if self._spool.size >= self._wake_size:
            self._wake_size = self._spool.size + WAKE_BYTES
            self._wake()
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

    def _count(self, level: int, message: str) -> None:
        if level < Level.ERROR:
            self.warning_count += 1
            return
        self.error_count += 1
        if self.first_error is None:
            place = self.last_sequence if self.tail is None else self.tail.head
            self.first_error = (place, message.partition("\n")[0])

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%d %H:%M:%S.", time.gmtime(second))
        # Half as dear as an f-string.
        return self._second_text + "%06d" % ((created - second) * 1_000_000)  # noqa: UP031


def _level(number: int) -> Level:
    if number < logging.INFO:
        return Level.DEBUG
    if number < logging.WARNING:
        return Level.INFO
    return Level.WARNING if number < logging.ERROR else Level.ERROR


def _middle(level: Level, step: Step) -> str:
    return f"+00\t{level:d}\t{step:d}\t"
