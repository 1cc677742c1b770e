"""Executes a plan of faults under load and reports the results as a table."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from datetime import timedelta

from tests.faults.faults import FAULTS, Scene
from tests.faults.load import Load
from tests.faults.verdict import Verdict, judge_run
from tests.faults.world import GRACE, World

_HEAD = (
    "fault",
    "times",
    *("lines", "stored", "doubled", "lost"),
    *("records", "stored", "doubled", "lost"),
    "open",
)

# Seconds until a resumed worker notices that its lease has expired.
LEASE_CHECK_WITHIN = 2.0
# The longest gap between scheduled times: the longest outage and two intervals of the scheduler.
MAX_SCHEDULE_GAP = timedelta(minutes=4)
# Patterns of messages after a fault of Synclog, and after a deploy stopped the worker.
INTERNAL_ERROR = "Internal error in Synclog%"
LOST_BY_DEPLOY = (
    f"Run lost: its worker % was stopped, and the run did not end within the grace period of {GRACE} s%"
)


@dataclass
class Report:
    """The injected faults and the verdicts on the affected runs."""

    times: Counter[str] = field(default_factory=Counter)
    rows: dict[str, Verdict] = field(default_factory=dict)
    total: Verdict = field(default_factory=Verdict)
    run_count: int = 0
    retry_count: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def kill_count(self) -> int:
        return sum(count for name, count in self.times.items() if name.startswith("kill"))

    def table(self) -> str:
        rows = [_HEAD, *(self._row(name, verdict) for name, verdict in self.rows.items())]
        rows.append(self._row(f"all {self.run_count} runs", self.total))
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        lines = [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        summary = f"{self.kill_count} kills; runs: {ended}; {self.retry_count} of them retries"
        return "\n".join([*lines, summary, *self.total.broken])

    def summary(self) -> str:
        return f"lines: {self.total.lines}; records: {self.total.records}; {len(self.total.broken)} promises broken"

    def _row(self, name: str, verdict: Verdict) -> tuple[str, ...]:
        times = self.times[name] if name in self.times else self.times.total()
        counts = (times, *astuple(verdict.lines), *astuple(verdict.records), verdict.open)
        return (name, *(f"{count:,}" for count in counts))


def make_plan(counts: Mapping[str, int], rng: random.Random) -> list[str]:
    """Returns the names of the faults in random order, each with its number of repetitions."""
    plan = [name for name, count in counts.items() for _time in range(count)]
    rng.shuffle(plan)
    return plan


def run_campaign(
    world: World,
    plan: list[str],
    rng: random.Random,
    *,
    is_short: bool,
    faults: Mapping[str, Callable[[Scene], list[int]]] = FAULTS,
) -> Report:
    """Injects the faults of the plan in order, lets the stack recover, and judges every run."""
    report = Report()
    affected_runs: dict[str, list[int]] = {name: [] for name in dict.fromkeys(plan)}
    with Load(world, is_short=is_short) as load:
        scene = Scene(world, load, rng, is_short)
        scene.victim()
        for name, pause in _moments(plan, rng, is_short=is_short):
            time.sleep(pause)
            began = time.monotonic()
            affected = faults[name](scene)
            affected_runs[name] += affected
            report.times[name] += 1
            print(f"{name}: runs {affected}, {time.monotonic() - began:.1f} s", flush=True)
        load.wait_for_open_runs()
    verdicts = {
        run_id: judge_run(
            world, run_id, until=load.asleep[run_id].frozen_at if run_id in load.asleep else None
        )
        for run_id in load.runs
    }
    for name, run_ids in affected_runs.items():
        row = report.rows[name] = Verdict()
        for run_id in dict.fromkeys(run_ids):
            row.add(verdicts[run_id])
    for verdict in verdicts.values():
        report.total.add(verdict)
    report.run_count = len(verdicts)
    [(report.retry_count,)] = world.query("SELECT count(*) FROM runs_run WHERE trigger = 'retry'")
    report.statuses.update(_statuses(world, load))
    report.total.broken += [*load.late(), *_broken_rules(world, load, verdicts)]
    return report


def _moments(plan: list[str], rng: random.Random, *, is_short: bool) -> Iterator[tuple[str, float]]:
    """Yields each fault with the seconds to wait before it."""
    for name in plan:
        yield name, rng.uniform(0.1, 0.8) if is_short else rng.uniform(0.5, 5)


def _statuses(world: World, load: Load) -> Counter[str]:
    rows = world.query("SELECT status, count(*) FROM runs_run WHERE id = ANY(%s) GROUP BY status", load.runs)
    return Counter(dict(rows))


def _broken_rules(world: World, load: Load, verdicts: Mapping[int, Verdict]) -> Iterator[str]:
    """Yields violations that concern more than the lines of one run."""
    statuses = dict(world.query("SELECT id, status FROM runs_run"))
    for run_id in load.runs:
        if verdicts[run_id].lines.lost and run_id not in load.may_lose:
            yield f"Run {run_id} lost lines although its disk was not full"
    for run_id in load.must_succeed - load.may_fail:
        if statuses[run_id] != "succeeded":
            yield f"Run {run_id} did not survive a deploy: {statuses[run_id]}"
    for run_id, status, error in world.query(
        # The error of a run is the first one, which may be a refused record.
        "SELECT id, status, error FROM runs_run WHERE id = ANY(%s) AND NOT (status = 'lost' AND EXISTS"
        " (SELECT FROM runs_logentry line WHERE line.run_id = runs_run.id AND line.message LIKE %s))",
        list(load.must_be_lost),
        LOST_BY_DEPLOY,
    ):
        yield f"Run {run_id} was too long for a deploy and is {status}: {error}"
    for run_id, sleep in load.asleep.items():
        if not sleep.closed.is_unchanged_in(now := load.outcome(run_id)):
            yield f"Run {run_id} was changed by a resumed worker: {sleep.closed} became {now}"
        if any(push.at > sleep.resumed_at + LEASE_CHECK_WITHIN for push in world.witness.pushes(run_id)):
            yield f"Run {run_id} continued after its worker resumed without a lease"
    for run_id in load.cancelled:
        if statuses[run_id] != "cancelled":
            yield f"Run {run_id} was cancelled and is {statuses[run_id]}"
    for run_id, error in world.query("SELECT id, error FROM runs_run WHERE error LIKE %s", INTERNAL_ERROR):
        yield f"Run {run_id} failed because of an internal error: {error}"
    yield from _broken_retries(world)
    yield from _schedule_violations(world)


def _broken_retries(world: World) -> Iterator[str]:
    """Yields runs with a wrong number of retries: one for a lost or failed run if its service allows it, else none."""
    for run_id, status, allowed, count in world.query(
        "SELECT run.id, run.status, service.retry_limit, count(retry.id) FROM runs_run run"
        " JOIN services_service service ON service.id = run.service_id"
        " LEFT JOIN runs_run retry ON retry.retry_of_id = run.id AND retry.trigger = 'retry'"
        " AND NOT (retry.status = 'cancelled' AND retry.started_at IS NULL AND run.status <> 'lost')"
        " WHERE run.cancel_requested_at IS NULL AND run.attempt = 1"
        " GROUP BY run.id, run.status, service.retry_limit"
    ):
        expected = 1 if allowed and status in {"lost", "failed"} else 0
        if count != expected:
            yield f"Run {run_id} is {status} and was retried {count} times"


def _schedule_violations(world: World) -> Iterator[str]:
    """Yields violations of the schedule: a scheduled time with two runs, a gap, or a run queued before its time."""
    scheduled = world.query(
        "SELECT id, service_id, scheduled_for, queued_at FROM runs_run WHERE trigger = 'schedule'"
        " ORDER BY service_id, scheduled_for"
    )
    for (before, service, scheduled_for, _queued), (run_id, other, following, _later) in itertools.pairwise(
        scheduled
    ):
        if service != other:
            continue
        if scheduled_for == following:
            yield f"Runs {before} and {run_id} are scheduled for {scheduled_for}"
        if following - scheduled_for > MAX_SCHEDULE_GAP:
            yield f"Nothing was run from {scheduled_for} to {following}"
    for run_id, _service, scheduled_for, queued_at in scheduled:
        if queued_at < scheduled_for:
            yield f"Run {run_id} was queued at {queued_at}, before its scheduled time {scheduled_for}"
