"""Ships a run's spool into the database while the run goes on, and keeps the run's lease."""

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

from apps.runs.log.bulk_insert import write_lines
from apps.runs.log.spool import Spool, sequence_of
from apps.runs.models import LogEntry, Run
from apps.runs.models.run import LEASE

logger = logging.getLogger(__name__)

# All in seconds: between two looks at the spool; between two heartbeats, which renew the lease and read whether
# the run is to be cancelled; between two tries of a database that is away; and without a renewal until the
# worker must stop.
SHIP_EVERY = 0.25
BEAT_EVERY = 4.0
RETRY_EVERY = 1.0
STOP_AFTER = 45.0
# That all shippers of a process write in a second: of many runs each waits longer, and ships more at once.
MOST_BATCHES = 100
# Threads of a process that write at a time: a hundred would wait for the interpreter after each answer of the
# database, and keep every transaction open for so long. And the seconds after which none waits any more, for those
# whose turn it is may hang.
MOST_AT_ONCE = 4
LONGEST_WAIT = 1.0

_at_work: set[Shipper] = set()
_turns = threading.BoundedSemaphore(MOST_AT_ONCE)


class LeaseLost(Exception):
    """The run belongs to somebody else by now, or its lease could not be renewed: write nothing more."""


@contextmanager
def turn() -> Iterator[None]:
    """Waits until few others of the process write, or for LONGEST_WAIT: no run holds up others for good."""
    is_ours = _turns.acquire(timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        if is_ours:
            _turns.release()


class Shipper:
    """A thread of its own with a database connection of its own.

    `counters` is asked for the run's counters at each batch: they are written in the same transaction as the
    lines, by the same UPDATE that proves the lease.
    """

    def __init__(
        self, run: Run, token: uuid.UUID, spool: Spool, counters: Callable[[], dict[str, Any]]
    ) -> None:
        self.cancel_requested = False
        self._run = run
        self._token = token
        self._spool = spool
        self._counters = counters
        self._offset = 0
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
        """Ship now rather than at the next look at the spool."""
        self._woken.set()

    def check(self) -> None:
        """Raises LeaseLost where the run is no longer ours to work for."""
        if self._lease_lost or time.monotonic() - self._renewed_at > STOP_AFTER:
            raise LeaseLost

    def finish(self) -> None:
        """Stop the thread, then ship what is left; waits for a database that is away while the lease lasts.

        May be called without `start`, by whoever ships what another left. Raises LeaseLost where that was in
        vain: the spool stays, for whoever closes the run.
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
                # No time will mend that.
                raise
            except (DatabaseError, InterfaceError) as error:
                self._retry_later(error)
                time.sleep(RETRY_EVERY)
            else:
                return

    def _work(self) -> None:
        beaten_at = time.monotonic()
        _at_work.add(self)
        try:
            while not self._rest(max(SHIP_EVERY, len(_at_work) / MOST_BATCHES)):
                try:
                    # What has been said meanwhile waits for the next look, so that each batch is worth its cost.
                    until = self._spool.size
                    while self._offset < until and self._ship() and not self._stopping.is_set():
                        pass
                    if time.monotonic() - beaten_at > BEAT_EVERY:
                        self._beat()
                        beaten_at = time.monotonic()
                except (DatabaseError, InterfaceError) as error:
                    self._retry_later(error)
                    self._stopping.wait(RETRY_EVERY)
        except LeaseLost:
            self._lease_lost = True
        finally:
            _at_work.discard(self)
            connection.close()

    def _rest(self, seconds: float) -> bool:
        """Wait until there is much to ship, or for so long; whether it is time to stop."""
        self._woken.wait(seconds)
        self._woken.clear()
        return self._stopping.is_set()

    @turn()
    def _ship(self) -> bool:
        """Write the next batch of lines; False where there is none. Raises LeaseLost, DatabaseError."""
        if not self._position_known:
            self._find_position()
        chunk = self._spool.read(self._offset)
        if not chunk:
            return False
        last_sequence = _last_sequence(chunk)
        before = time.monotonic()
        with transaction.atomic():
            # After an error nobody knows whether the batch was committed.
            self._position_known = False
            self._prove_lease(line_count=last_sequence, **self._counters())
            write_lines(chunk)
        self._position_known = True
        self._offset += len(chunk)
        self._shipped_sequence = last_sequence
        self._renewed_at = before
        return True

    @turn()
    def _beat(self) -> None:
        before = time.monotonic()
        # Each batch renews it, too.
        if before - self._renewed_at > BEAT_EVERY:
            self._prove_lease(**self._counters())
            self._renewed_at = before
        self.cancel_requested = Run.objects.filter(pk=self._run.pk).exclude(cancel_requested_at=None).exists()

    def _prove_lease(self, **counters: Any) -> None:
        if not self._run.count(self._token, lease_until=Now() + LEASE, **counters):
            raise LeaseLost

    def _find_position(self) -> None:
        """Skip what the database has: its highest sequence is the one truth about what was shipped."""
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
