"""Keeps runs and processes going while the stack is broken, and remembers what each of them must come to."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.world import World, is_alive

# P1 and P5 in seconds: until a run has ended after its worker died or a server came back; until a cancel is obeyed.
CLOSED_WITHIN = 120.0
CANCELLED_WITHIN = 10.0
# Kept going at once: fewer than the workers have children, so that no run waits for another.
AT_ONCE = 4


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and its lines: of these, none may change, but late ones may be added."""

    row: tuple[Any, ...]
    lines: list[tuple[Any, ...]]

    def is_kept_by(self, later: "Outcome") -> bool:
        return later.row == self.row and later.lines[: len(self.lines)] == self.lines


@dataclass(frozen=True)
class Sleep:
    """From when to when a worker stood still, and what had become of its run before it woke up."""

    fell: float
    woke: float
    closed: Outcome


class Load:
    """Starts a run whenever one has ended, and a process whenever one has died, within its `with` block."""

    def __init__(self, world: World, *, is_short: bool) -> None:
        # Runs that the disk was full for, whose script was killed, that a deploy must not have ended, or must have, and
        # whose worker slept.
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
        self._thread = threading.Thread(target=self._keep_going, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._watching.set()
        self._thread.join()

    @property
    def runs(self) -> list[int]:
        """All runs that there are, those of the schedule too."""
        with self._lock:
            return list(self._queued)

    def active(self) -> list[int]:
        """The runs that go on, as far as is known, and whose worker nobody has killed."""
        with self._lock:
            return [
                run_id for run_id in self._queued if run_id not in self._ended and run_id not in self._lost
            ]

    def start(self, service: str = "") -> int | None:
        """One more run, every other with payloads, and every other run again where it is lost."""
        with self._lock:
            self._turn += 1
            store = ("pull", "push", "script") if self._turn % 2 else ()
        run_id = self._world.start_run(service or ("steady" if store else "retried"), *store)
        if run_id is not None:
            with self._lock:
                self._queued.setdefault(run_id, time.monotonic())
        return run_id

    def lose(self, run_id: int) -> None:
        """The worker of this run is gone: it must be closed in time. In the short form its lease is over at once."""
        with self._lock:
            self._lost.setdefault(run_id, time.monotonic())
        if self._is_short:
            self._world.query(
                "UPDATE runs_run SET lease_until = now() WHERE id = %s AND status = 'running'", run_id
            )

    def cancel(self, run_id: int) -> None:
        answer = self._world.post(f"runs/{run_id}/cancel/", {})
        if answer is not None and answer.status_code == 202:
            self.cancelled[run_id] = time.monotonic()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """While a server is away, nobody can close a run."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._outages.append((began, time.monotonic()))

    def closed(self, run_id: int) -> bool:
        return run_id in self._ended

    def outcome(self, run_id: int) -> Outcome:
        """What a worker that wakes up might change of a run that was closed."""
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

    def wait_for_the_end(self) -> None:
        """Start nothing more, and give what is open the time that it may take."""
        self._stopping.set()
        self._world.query("UPDATE services_service SET next_run_at = NULL")
        deadline = time.monotonic() + CLOSED_WITHIN
        while time.monotonic() < deadline and any(run_id not in self._ended for run_id in self.runs):
            time.sleep(0.5)

    def late(self) -> list[str]:
        """What was closed or cancelled too late, or should have succeeded, in words."""
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
                broken.append(f"Run {run_id} went on for {seconds:.0f} s after it was cancelled")
        return broken

    def _recovered(self, since: float) -> float:
        """The moment from which a run could be closed: after the outages that began before its end."""
        for began, ended in self._outages:
            if began < since + CLOSED_WITHIN and ended > since:
                since = ended
        return since

    def _keep_going(self) -> None:
        hurried_at = 0.0
        while not self._watching.wait(0.2):
            self._watch()
            self._world.stack.replace_dead()
            if self._is_short and time.monotonic() - hurried_at > 1:
                self._hurry()
                hurried_at = time.monotonic()
            if not self._stopping.is_set() and len(self.active()) < AT_ONCE and self.start() is None:
                self._watching.wait(0.5)

    def _watch(self) -> None:
        """See which runs were claimed, have ended, or lost their worker. A retry is none before its time."""
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

    def _hurry(self) -> None:
        """In the short form, the sweeper comes every second, and what waits has waited a minute."""
        self._world.query("UPDATE runs_run SET due_at = now() WHERE status = 'queued' AND due_at > now()")
        self._world.query("UPDATE runs_tick SET ticked_at = ticked_at - interval '1 minute'")
        self._world.query(
            "UPDATE runs_run SET sent_at = sent_at - interval '1 minute'"
            " WHERE status = 'queued' AND queued_at < now() - interval '3 seconds'"
        )
        self._world.send("synclog.housekeeping.close_lost_runs", queue="housekeeping")
