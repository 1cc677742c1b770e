"""Starts runs and restarts processes during faults, and records the expected outcome of each run."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.world import World, is_alive

# Time limits of promises P1 and P5 in seconds: closing a run after its worker died or a server is back; cancelling.
CLOSED_WITHIN = 120.0
CANCELLED_WITHIN = 10.0
# Concurrent runs: fewer than the workers have children, so that no run waits for another.
CONCURRENT_RUNS = 4


@dataclass(frozen=True)
class Outcome:
    """Result and lines of an ended run; lines may be added later but must not change."""

    row: tuple[Any, ...]
    lines: list[tuple[Any, ...]]

    def is_unchanged_in(self, later: "Outcome") -> bool:
        return later.row == self.row and later.lines[: len(self.lines)] == self.lines


@dataclass(frozen=True)
class Sleep:
    """Period in which a worker was frozen, and the outcome of its run before it resumed."""

    frozen_at: float
    resumed_at: float
    closed: Outcome


class Load:
    """Replaces each ended run and each dead process within its `with` block."""

    def __init__(self, world: World, *, is_short: bool) -> None:
        # In this order: runs with a full disk, with a killed script, that must survive a deploy, that a deploy ends,
        # and with a frozen worker.
        self.may_lose: set[int] = set()
        self.may_fail: set[int] = set()
        self.must_succeed: set[int] = set()
        self.must_be_lost: set[int] = set()
        self.asleep: dict[int, Sleep] = {}
        self.cancelled: dict[int, float] = {}
        self._world = world
        self._is_short = is_short
        self._lost: dict[int, float] = {}
        self._queued: dict[int, float] = {}
        self._claimed: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._outages: list[tuple[float, float]] = []
        self._turn = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watching = threading.Event()
        self._is_quiet = False
        self._thread = threading.Thread(target=self._maintain, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._watching.set()
        self._thread.join()

    @property
    def runs(self) -> list[int]:
        """All runs, including scheduled ones."""
        with self._lock:
            return list(self._queued)

    def active(self) -> list[int]:
        """Returns the runs that are active as far as is known and whose worker was not killed."""
        with self._lock:
            return [
                run_id for run_id in self._queued if run_id not in self._ended and run_id not in self._lost
            ]

    def start(self, service: str = "") -> int | None:
        """Starts a run: alternately one that stores payloads and one that is retried if it is lost."""
        with self._lock:
            self._turn += 1
            store = ("pull", "push", "script") if self._turn % 2 else ()
        run_id = self._world.start_run(service or ("steady" if store else "retried"), *store)
        if run_id is not None:
            with self._lock:
                self._queued.setdefault(run_id, time.monotonic())
        return run_id

    def lose(self, run_id: int) -> None:
        """Records that the run's worker is dead; the short form ends its lease at once."""
        with self._lock:
            self._lost.setdefault(run_id, time.monotonic())
        if self._is_short:
            self._world.query(
                "UPDATE runs_run SET lease_until = now() WHERE id = %s AND status = 'running'", run_id
            )

    def cancel(self, run_id: int) -> None:
        response = self._world.post(f"runs/{run_id}/cancel/", {})
        if response is not None and response.status_code == 202:
            self.cancelled[run_id] = time.monotonic()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Records the downtime of a server, during which no run can be closed."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._outages.append((began, time.monotonic()))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Starts no run in the short form, which would need the processor for nothing."""
        self._is_quiet = self._is_short
        try:
            yield
        finally:
            self._is_quiet = False

    def closed(self, run_id: int) -> bool:
        return run_id in self._ended

    def outcome(self, run_id: int) -> Outcome:
        """Returns the columns and lines of a closed run that a resumed worker might change."""
        [row] = self._world.query(
            "SELECT status, pushed_count, finished_at FROM runs_run WHERE id = %s", run_id
        )
        lines = self._world.query(
            "SELECT sequence, message FROM runs_logentry WHERE run_id = %s ORDER BY sequence", run_id
        )
        return Outcome(row, lines)

    def retry_of(self, run_id: int) -> int | None:
        rows = self._world.query("SELECT id FROM runs_run WHERE retry_of_id = %s", run_id)
        return rows[0][0] if rows else None

    def wait_for_open_runs(self) -> None:
        """Stops starting runs and waits until every open run has ended or its time limit has passed."""
        self._stopping.set()
        self._world.query("UPDATE services_service SET next_run_at = NULL")
        deadline = time.monotonic() + CLOSED_WITHIN
        while time.monotonic() < deadline and any(run_id not in self._ended for run_id in self.runs):
            time.sleep(0.5)

    def late(self) -> list[str]:
        """Returns messages about runs that were closed, claimed or cancelled too late."""
        broken = []
        for run_id, since in self._lost.items():
            seconds = self._ended.get(run_id, time.monotonic()) - self._recovered(since)
            if seconds > CLOSED_WITHIN:
                broken.append(f"Run {run_id} was open for {seconds:.0f} s after its worker died")
        for run_id, since in self._queued.items():
            seconds = self._claimed.get(run_id, time.monotonic()) - self._recovered(since)
            if seconds > CLOSED_WITHIN:
                broken.append(f"Run {run_id} was queued for {seconds:.0f} s")
        for run_id, since in self.cancelled.items():
            seconds = self._ended.get(run_id, time.monotonic()) - since
            if seconds > CANCELLED_WITHIN:
                broken.append(f"Run {run_id} continued for {seconds:.0f} s after it was cancelled")
        return broken

    def _recovered(self, since: float) -> float:
        """Returns the time from which a run could be closed: after the outages in its period."""
        for began, ended in self._outages:
            if began < since + CLOSED_WITHIN and ended > since:
                since = ended
        return since

    def _maintain(self) -> None:
        accelerated_at = 0.0
        while not self._watching.wait(0.2):
            self._watch()
            self._world.stack.replace_dead()
            if self._is_short and time.monotonic() - accelerated_at > 1:
                self._accelerate()
                accelerated_at = time.monotonic()
            is_starting = not self._stopping.is_set() and not self._is_quiet
            if is_starting and len(self.active()) < CONCURRENT_RUNS and self.start() is None:
                self._watching.wait(0.5)

    def _watch(self) -> None:
        """Records which runs were claimed, ended, or lost their worker. Retries count from their due time."""
        now = time.monotonic()
        with self._lock:
            ended = list(self._ended)
        for run_id, status, worker in self._world.query(
            "SELECT id, status, worker FROM runs_run WHERE id <> ALL(%s)"
            " AND (status <> 'queued' OR due_at IS NULL OR due_at <= now())",
            ended,
        ):
            with self._lock:
                self._queued.setdefault(run_id, now)
                if status != "queued":
                    self._claimed.setdefault(run_id, now)
                if status not in {"queued", "running"}:
                    self._ended[run_id] = now
            if status == "running" and run_id not in self._lost and not is_alive(worker):
                self.lose(run_id)

    def _accelerate(self) -> None:
        """Speeds up the short form: sweeps every second and ages waiting runs by a minute."""
        self._world.query("UPDATE runs_run SET due_at = now() WHERE status = 'queued' AND due_at > now()")
        self._world.query("UPDATE runs_housekeepingjob SET last_run_at = last_run_at - interval '1 minute'")
        self._world.query(
            "UPDATE runs_run SET sent_at = sent_at - interval '1 minute'"
            " WHERE status = 'queued' AND queued_at < now() - interval '3 seconds'"
        )
        self._world.send("synclog.housekeeping.close_lost_runs", queue="housekeeping")
