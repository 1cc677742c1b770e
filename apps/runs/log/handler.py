"""Logging handler of a run: numbers, masks and spools each line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from django.conf import settings

from apps.runs.log.line_format import escape
from apps.runs.log.spool import Spool
from apps.runs.log.spool_tail import Tail
from apps.runs.log.text import clean_message, make_masker
from apps.runs.models import Level, Step

type Echo = Callable[[float, Level, Step, str], None]

# Bytes of new lines for which the shipper is woken.
WAKE_BYTES = 1024 * 1024

_TRACES = logging.Formatter()


class RunLogHandler(logging.Handler):
    """Handler of one run; costs one write and a few microseconds a line."""

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
        # Number and first line of the first error.
        self.first_error: tuple[int, str] | None = None
        # Lines that the disk did not take, and the reason.
        self.lost_count = 0
        self.lost_reason = ""
        # The latest lines, once the log exceeds its limit.
        self.tail: Tail | None = None
        self._run_id = run_id
        self._spool = spool
        self._append = spool.append
        # Called when there is enough for the shipper to start at once.
        self._wake = wake
        self._wake_size = spool.size + WAKE_BYTES
        # The head of a log is half of its limit.
        self._head_lines = settings.MAX_LOG_LINES // 2
        self._head_bytes = settings.MAX_LOG_BYTES // 2
        # Lost lines that are not mentioned in the log yet.
        self._unlogged_loss_count = 0
        self._secrets = set(secrets)
        self._mask = make_masker(self._secrets)
        self._echo = echo
        self._second = -1
        self._second_text = ""

    @property
    def next_sequence(self) -> int:
        """Number of the next line; beyond the limit, the number of the last line of the head."""
        return self.last_sequence + 1 if self.tail is None else self.tail.head

    @property
    def step(self) -> Step:
        return self._step

    @step.setter
    def step(self, step: Step) -> None:
        self._step = step
        # The part between time and message, by level.
        self._middles = {level.value: _middle(level, step) for level in Level}

    def add_secret(self, secret: str) -> None:
        """Masks `secret` in all lines from now on."""
        with self.lock:  # type: ignore[union-attr] # It is none only before __init__.
            if secret not in self._secrets:
                self._secrets.add(secret)
                self._mask = make_masker(self._secrets)

    def handle(self, record: logging.LogRecord) -> bool:
        """Emits the record without asking filters, which would take half as long again."""
        with self.lock:  # type: ignore[union-attr] # It is none only before __init__.
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        # An invalid logging call must neither end the run nor disappear.
        except Exception as error:  # noqa: BLE001 - a KeyError, or whatever the text of an argument raises
            message = f"{record.msg!s} [invalid arguments: {error}]"
        if record.exc_info:
            message = f"{message}\n{_TRACES.formatException(record.exc_info)}"
        message = self.cleaned(message)
        if self._unlogged_loss_count:
            self._log_losses(record.created)
        if self.tail is None and (
            self.last_sequence >= self._head_lines or self._spool.size >= self._head_bytes
        ):
            self._start_tail(record.created)
        if self._put(record.created, record.levelno, message):
            if record.levelno >= Level.WARNING:
                self._count(record.levelno, message)
            if self._echo is not None:
                self._echo(record.created, _level(record.levelno), self._step, message)

    def cleaned(self, message: str) -> str:
        """The message with masked secrets and visible control characters."""
        return clean_message(message if self._mask is None else self._mask(message))

    def _put(self, created: float, level: int, message: str) -> bool:
        sequence = self.last_sequence + 1
        middle = self._middles.get(level) or _middle(_level(level), self._step)
        try:
            self._append(
                f"{self._run_id}\t{sequence}\t{self._time(created)}{middle}{escape(message)}\n".encode()
            )
        except OSError as error:
            self.lost_count += 1
            self._unlogged_loss_count += 1
            self.lost_reason = f"the spool could not be written: {error.strerror}"
            with suppress(OSError):
                # Recorded on disk in case this worker dies.
                self._spool.record_losses(self.lost_count, self.lost_reason)
            return False
        self.last_sequence = sequence
        if self._spool.size >= self._wake_size:
            self._wake_size = self._spool.size + WAKE_BYTES
            self._wake()
        return True

    def _log_losses(self, created: float) -> None:
        """Logs how many lines were lost, as soon as the disk takes lines again."""
        count = self._unlogged_loss_count
        lines = "line was" if count == 1 else "lines were"
        if self._put(created, Level.WARNING, f"… {count:,} {lines} lost here: {self.lost_reason} …"):
            self._unlogged_loss_count = 0
            self.warning_count += 1
        else:
            # The notice itself is not a line of the run.
            self.lost_count -= 1
            self._unlogged_loss_count -= 1

    def _start_tail(self, created: float) -> None:
        """From here on the middle of the log is left out."""
        max_lines, max_bytes = settings.MAX_LOG_LINES, settings.MAX_LOG_BYTES
        notice = (
            f"The log has reached half of its limit of {max_lines:,} lines and {max_bytes / 2**20:g} "
            "MiB: of the following lines only the latest are stored, and shown when the run ends"
        )
        if not self._put(created, Level.WARNING, notice):
            self.lost_count -= 1
            self._unlogged_loss_count -= 1
            return
        self.warning_count += 1
        self.tail = Tail(
            self._spool.path,
            self.last_sequence,
            max_lines=max_lines - self._head_lines,
            max_bytes=max_bytes - self._head_bytes,
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
        # Half as expensive as an f-string.
        return self._second_text + "%06d" % ((created - second) * 1_000_000)  # noqa: UP031


def _level(number: int) -> Level:
    if number < logging.INFO:
        return Level.DEBUG
    if number < logging.WARNING:
        return Level.INFO
    return Level.WARNING if number < logging.ERROR else Level.ERROR


def _middle(level: Level, step: Step) -> str:
    return f"+00\t{level:d}\t{step:d}\t"
