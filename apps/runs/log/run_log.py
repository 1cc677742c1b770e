"""The log of a running run: opened by the holder of the lease, sealed at the end."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from django.db import InterfaceError, OperationalError, connection

from apps.runs.log.context import LogBinding, bind_thread, unbind
from apps.runs.log.handler import Echo, RunLogHandler
from apps.runs.log.record_file import RecordFile
from apps.runs.log.shipper import RETRY_INTERVAL, LeaseLost, Shipper
from apps.runs.log.spool import Spool
from apps.runs.log.stored_lines import last_stored_sequence
from apps.runs.models import LogEntry, Run, Step

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seal:
    """Result of sealing: what is known about a log after its last line was shipped."""

    line_count: int
    lost_line_count: int
    lost_reason: str
    log_checksum: int
    omitted_line_count: int = 0

    @property
    def is_complete(self) -> bool:
        return self.lost_line_count == 0

    def columns(self) -> dict[str, Any]:
        """The seal as columns of Run."""
        return {
            "line_count": self.line_count,
            "lost_line_count": self.lost_line_count,
            "lost_reason": self.lost_reason[:200],
            "log_checksum": self.log_checksum,
            "omitted_line_count": self.omitted_line_count,
            "is_complete": self.is_complete,
        }


class RunLog:
    """Within its `with` block, what this thread logs becomes lines of the run.

    The counters `pulled_count`, `pushed_count` and `refused_count` can be set at any time and reach the run with the
    next batch. The log continues where a dead worker left it, according to spool and database.
    """

    _binding: LogBinding

    def __init__(
        self, run: Run, token: uuid.UUID, *, secrets: Iterable[str] = (), echo: Echo | None = None
    ) -> None:
        self.pulled_count = run.pulled_count
        self.pushed_count = run.pushed_count
        self.refused_count = run.refused_count
        self._run = run
        self._spool = Spool(run.pk)
        try:
            self._spool.open()
            sequence = max(self._spool.last_sequence(), last_stored_sequence(run))
        except BaseException:
            # While this process lives, no other process can continue it.
            self._spool.close()
            raise
        self._shipper = Shipper(run, token, self._spool, self.counters)
        self._handler = RunLogHandler(
            run.pk,
            self._spool,
            sequence=sequence,
            secrets=secrets,
            wake=self._shipper.wake,
            echo=echo,
        )
        self._opened_at = self._step_since = time.monotonic()
        self._step_seconds = dict.fromkeys((Step.PULL, Step.SCRIPT, Step.PUSH), 0.0)
        self._handler.warning_count, self._handler.error_count = run.warning_count, run.error_count

    def __enter__(self) -> Self:
        self._binding = bind_thread(self._handler)
        self._shipper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detach()
        with suppress(LeaseLost):
            self._shipper.finish()
        if self._handler.tail is not None:
            self._handler.tail.close()
        self._spool.close()

    @property
    def step(self) -> Step:
        return self._handler.step

    @step.setter
    def step(self, step: Step) -> None:
        now = time.monotonic()
        if self._handler.step in self._step_seconds:
            self._step_seconds[self._handler.step] += now - self._step_since
        self._step_since = now
        self._handler.step = step

    @property
    def seconds(self) -> float:
        """Seconds since the log was opened."""
        return time.monotonic() - self._opened_at

    @property
    def next_sequence(self) -> int:
        """Line of the next payload: the next line; beyond the limit of the log, the last line of its head."""
        return self._handler.next_sequence

    @property
    def last_sequence(self) -> int:
        """The latest line, 0 if there is none; beyond the limit of the log, the last line of its head."""
        return self._handler.last_sequence if self._handler.tail is None else self._handler.next_sequence

    @property
    def records(self) -> RecordFile:
        """The outcomes of records; what is written there before a line is shipped with that line."""
        return self._spool.records

    def add_secret(self, secret: str) -> None:
        """Masks `secret` in all lines from now on."""
        self._handler.add_secret(secret)

    def cleaned(self, message: str) -> str:
        """The message as a line of the log would contain it: secrets masked, control characters visible."""
        return self._handler.cleaned(message)

    @property
    def cancel_requested(self) -> bool:
        """Whether a person asked to stop the run, as of the last heartbeat."""
        return self._shipper.cancel_requested

    def check_lease(self) -> None:
        """Raises LeaseLost if the run no longer belongs to this worker."""
        self._shipper.check()

    def read_from_database[Result](self, read: Callable[[], Result]) -> Result:
        """The result of `read`, which is repeated while the database is unreachable. Raises LeaseLost."""
        while True:
            try:
                return read()
            except (OperationalError, InterfaceError) as error:
                logger.warning("The run waits for the database: %s", type(error).__name__)
                connection.close()
                self.check_lease()
                time.sleep(RETRY_INTERVAL)

    def counters(self) -> dict[str, Any]:
        """Columns of Run that change while the run is open."""
        counters: dict[str, Any] = {
            "pulled_count": self.pulled_count,
            "pushed_count": self.pushed_count,
            "refused_count": self.refused_count,
            "warning_count": self._handler.warning_count,
            "error_count": self._handler.error_count,
            "step_seconds": self._seconds_by_step(),
        }
        if self._handler.lost_count:
            # Recorded on disk in case this worker dies.
            counters |= {
                "lost_line_count": self._handler.lost_count,
                "lost_reason": self._handler.lost_reason[:200],
            }
        if self._handler.first_error is not None and not self._run.error:
            sequence, message = self._handler.first_error
            counters |= {"error": message[:500], "error_sequence": sequence}
        return counters

    def detach_other_threads(self) -> None:
        """Drops all further lines of other threads that worked for the run."""
        unbind(self._binding)
        self._binding = bind_thread(self._handler)

    def record_end(self, status: Run.Status, *, may_retry: bool) -> None:
        """Records on disk how the run ended, in case the database does not learn it from this worker."""
        end = {"status": status, "may_retry": may_retry, "counters": self.counters()}
        try:
            self._spool.record_end(end)
        except OSError as error:
            logger.warning("The outcome of the run could not be recorded on disk: %s", error.strerror)

    def seal(self) -> Seal:
        """Ships the last lines and compares the counts; from here on nothing is added to the log.

        May be called again after a database error. Raises LeaseLost.
        """
        self._detach()
        self._append_tail()
        self._shipper.finish()
        expected = self._handler.last_sequence
        if self._handler.tail is not None:
            expected = self._spool.last_sequence()
        stored = LogEntry.objects.filter(run_id=self._run.pk).count()
        lost = self._handler.lost_count + expected - stored
        reason = self._handler.lost_reason or ("they are not in the database" if lost else "")
        return Seal(stored, lost, reason, self._spool.checksum(), self._spool.omitted_count)

    def _append_tail(self) -> None:
        tail = self._handler.tail
        try:
            self._spool.append_tail(tail)
        except OSError as error:
            # They stay beside the spool, where nothing reads them.
            self._handler.lost_count += self._handler.last_sequence - self._spool.last_sequence()
            self._handler.lost_reason = f"the spool could not be written: {error.strerror}"

    def _seconds_by_step(self) -> dict[str, float]:
        seconds = dict(self._step_seconds)
        if self._handler.step in seconds:
            seconds[self._handler.step] += time.monotonic() - self._step_since
        return {step.slug: round(spent, 3) for step, spent in seconds.items() if spent}

    def _detach(self) -> None:
        unbind(self._binding)

    def remove_spool(self) -> None:
        """Removes the spool once the end of the run is committed."""
        self._spool.remove()
