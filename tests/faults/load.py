"""Keeps runs going while the stack is broken, and remembers what each of them must come to."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.world import World

# P1 and P5 in seconds: until a run has ended after its worker died or a server came back; until a cancel is obeyed.
CLOSED_WITHIN = 120.0
CANCELLED_WITHIN = 10.0
# Kept going at once: fewer than the workers have children, so that no run waits for another.
AT_ONCE = 4


class Load:
    """Starts a run whenever one has ended; `with` it the load goes on."""

    def __init__(self, world: World, *, is_short: bool) -> None:
        self.runs: list[int] = []
        # Runs that the disk was full for, that a deploy must not have ended, and that have closed for good.
        self.may_lose: set[int] = set()
        self.must_succeed: set[int] = set()
        self.must_stay: dict[int, Any] = {}
        self.cancelled: dict[int, float] = {}
        self._world = world
        self._is_short = is_short
        self._lost: dict[int, float] = {}
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

    def active(self) -> list[int]:
        """The runs that go on, as far as is known, and whose worker nobody has killed."""
        with self._lock:
            return [run_id for run_id in self.runs if run_id not in self._ended and run_id not in self._lost]

    def start(self) -> int | None:
        """One more run, every other with payloads."""
        with self._lock:
            self._turn += 1
            store = ("pull", "push", "script") if self._turn % 2 else ()
        run_id = self._world.start_run("steady", *store)
        if run_id is not None:
            with self._lock:
                self.runs.append(run_id)
        return run_id

    def lose(self, run_id: int) -> None:
        """The worker of this run is gone: it must be closed in time."""
        with self._lock:
            self._lost.setdefault(run_id, time.monotonic())

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

    def fingerprint(self, run_id: int) -> list[tuple[Any, ...]]:
        """All that may never change again once a run was closed."""
        return self._world.query(
            "SELECT r.status, r.line_count, r.pushed_count, r.finished_at, max(l.sequence), count(l.sequence)"
            " FROM runs_run r LEFT JOIN runs_logentry l ON l.run_id = r.id WHERE r.id = %s GROUP BY r.id",
            run_id,
        )

    def wait_for_the_end(self) -> None:
        """Start nothing more, and give what is open the time that it may take."""
        self._stopping.set()
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
        while not self._watching.wait(0.2):
            self._watch()
            if self._is_short:
                self._hurry()
            if not self._stopping.is_set() and len(self.active()) < AT_ONCE and self.start() is None:
                self._watching.wait(0.5)

    def _watch(self) -> None:
        with self._lock:
            open_runs = [run_id for run_id in self.runs if run_id not in self._ended]
        rows = self._world.query(
            "SELECT id FROM runs_run WHERE id = ANY(%s) AND finished_at IS NOT NULL", open_runs
        )
        with self._lock:
            self._ended.update({run_id: time.monotonic() for (run_id,) in rows})

    def _hurry(self) -> None:
        """In the short form, the sweeper comes every second, and what waits for a bell has waited a minute."""
        self._world.query(
            "UPDATE runs_run SET sent_at = sent_at - interval '1 minute'"
            " WHERE status = 'queued' AND queued_at < now() - interval '3 seconds'"
        )
        self._world.send("synclog.housekeeping.close_lost_runs", queue="housekeeping")
