"""Shipper: writes the spool of a run to the database while the run is open, and renews its lease."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection, transaction
from django.db.models import Max
from django.db.models.functions import Now

from apps.runs.log.bulk_insert import write_lines, write_records
from apps.runs.log.line_format import sequence_of
from apps.runs.log.record_file import RecordChunk
from apps.runs.log.spool import Spool
from apps.runs.models import LogEntry, Run
from apps.runs.models.run import LEASE

logger = logging.getLogger(__name__)

# All times are in seconds.
SHIP_INTERVAL = 0.25
# The heartbeat renews the lease and reads cancel requests.
HEARTBEAT_INTERVAL = 4.0
# While the database is unreachable.
RETRY_INTERVAL = 1.0
# Time without a renewal after which the worker must stop.
MAX_TIME_WITHOUT_LEASE = 45.0
# Batches a second of all shippers in a process: with many runs each waits longer and ships more at once.
MAX_BATCHES_PER_SECOND = 100
# A batch that takes longer would keep others from closing the run.
_TIMEOUT = "SET LOCAL statement_timeout = '30s'"
# Threads of a process that write at the same time. A hundred would wait for the interpreter after each response of
# the database, with open transactions. After the timeout no thread waits, because those in front may hang.
MAX_CONCURRENT_WRITES = 4
MAX_WAIT = 1.0

_at_work: set[Shipper] = set()
_write_slots = threading.BoundedSemaphore(MAX_CONCURRENT_WRITES)


class LeaseLost(Exception):
    """The run belongs to another worker, or its lease could not be renewed: nothing more may be written."""


@contextmanager
def limit_concurrent_writes() -> Iterator[None]:
    """Waits until few other threads of the process write, at most MAX_WAIT: no run blocks others for good."""
    is_ours = _write_slots.acquire(timeout=MAX_WAIT)
    try:
        yield
    finally:
        if is_ours:
            _write_slots.release()


class Shipper:
    """A thread that copies the lines of one spool into the database, with its own connection.

    `counters` returns the counters of the run for each batch: they are written in the same transaction as the
    lines, by the UPDATE that proves the lease. Without `with_records` only lines are shipped.
    """

    def __init__(
        self,
        run: Run,
        token: uuid.UUID,
        spool: Spool,
        counters: Callable[[], dict[str, Any]],
        *,
        with_records: bool = True,
    ) -> None:
        self.cancel_requested = False
        self._run = run
        self._token = token
        self._spool = spool
        self._counters = counters
        self._with_records = with_records
        self._offset = 0
        self._record_offset = 0
        self._shipped_sequence = 0
        self._position_known = False
        self._renewed_at = time.monotonic()
        self._lease_lost = False
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"shipper-{run.pk}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Ships now instead of at the next interval."""
        self._woken.set()

    def check(self) -> None:
        """Raises LeaseLost if the run no longer belongs to this worker."""
        if self._lease_lost or time.monotonic() - self._renewed_at > MAX_TIME_WITHOUT_LEASE:
            raise LeaseLost

    def finish(self) -> None:
        """Stops the thread and ships the rest; waits for the database while the lease lasts.

        May be called without `start` to ship the spool of another worker. Raises LeaseLost; the spool stays for
        whoever closes the run.
        """
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        while True:
            self.check()
            try:
                while self._ship():
                    pass
            except (DataError, IntegrityError):
                # Waiting does not help.
                raise
            except (DatabaseError, InterfaceError) as error:
                self._retry_later(error)
                time.sleep(RETRY_INTERVAL)
            else:
                return

    def _work(self) -> None:
        beaten_at = time.monotonic()
        _at_work.add(self)
        try:
            while not self._wait(max(SHIP_INTERVAL, len(_at_work) / MAX_BATCHES_PER_SECOND)):
                try:
                    # Lines that were logged in the meantime wait for the next interval, so that each batch is worth
                    # its cost.
                    until, records_until = self._spool.size, self._spool.records.size
                    while (
                        (self._offset < until or self._record_offset < records_until)
                        and self._ship()
                        and not self._stopping.is_set()
                    ):
                        pass
                    if time.monotonic() - beaten_at > HEARTBEAT_INTERVAL:
                        self._beat()
                        beaten_at = time.monotonic()
                except (DatabaseError, InterfaceError) as error:
                    self._retry_later(error)
                    self._stopping.wait(RETRY_INTERVAL)
        except LeaseLost:
            self._lease_lost = True
        finally:
            _at_work.discard(self)
            connection.close()

    def _wait(self, seconds: float) -> bool:
        """Waits until there is enough to ship or the interval is over; returns whether to stop."""
        self._woken.wait(seconds)
        self._woken.clear()
        return self._stopping.is_set()

    @limit_concurrent_writes()
    def _ship(self) -> bool:
        """Writes the next batch of lines and of records; False if there is none. Raises LeaseLost, DatabaseError.

        The records of a line are in their file before the line is in the spool, so they are never behind it by more
        than a batch.
        """
        if not self._position_known:
            self._find_position()
        chunk = self._spool.read(self._offset)
        records = RecordChunk(b"", b"", self._record_offset)
        if self._with_records:
            records = self._spool.records.read(self._record_offset)
        if not chunk and records.end == self._record_offset:
            return False
        columns: dict[str, Any] = {"record_offset": records.end}
        if chunk:
            columns["line_count"] = _last_sequence(chunk)
        if records.rows:
            columns["has_records"] = True
        before = time.monotonic()
        with transaction.atomic():
            # After an error it is unknown whether the batch was committed.
            self._position_known = False
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(_TIMEOUT)
            self._prove_lease(**columns, **self._counters())
            if chunk:
                write_lines(chunk)
            write_records(records)
        self._position_known = True
        self._offset += len(chunk)
        self._record_offset = records.end
        self._shipped_sequence = columns.get("line_count", self._shipped_sequence)
        self._renewed_at = before
        return True

    @limit_concurrent_writes()
    def _beat(self) -> None:
        before = time.monotonic()
        # Each batch renews the lease as well.
        if before - self._renewed_at > HEARTBEAT_INTERVAL:
            self._prove_lease(**self._counters())
            self._renewed_at = before
        self.cancel_requested = Run.objects.filter(pk=self._run.pk).exclude(cancel_requested_at=None).exists()

    def _prove_lease(self, **counters: Any) -> None:
        if not self._run.count(self._token, lease_until=Now() + LEASE, **counters):
            raise LeaseLost

    def _find_position(self) -> None:
        """Skips what is in the database: the highest sequence there shows which lines were shipped."""
        [self._record_offset] = Run.objects.filter(pk=self._run.pk).values_list("record_offset", flat=True)
        newest = LogEntry.objects.filter(run_id=self._run.pk).aggregate(newest=Max("sequence"))["newest"] or 0
        while self._shipped_sequence < newest and (chunk := self._spool.read(self._offset)):
            for line in chunk.splitlines(keepends=True):
                sequence = _last_sequence(line)
                if sequence > newest:
                    break
                self._offset += len(line)
                self._shipped_sequence = sequence
            else:
                continue
            break
        self._position_known = True

    def _retry_later(self, error: Exception) -> None:
        logger.warning("Run %s: its log waits in the spool: %s", self._run.pk, type(error).__name__)
        self._position_known = False
        connection.close()


def _last_sequence(chunk: bytes) -> int:
    return sequence_of(chunk[chunk.rfind(b"\n", 0, -1) + 1 :])
