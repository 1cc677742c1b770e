"""A plan of faults, carried out against a world under load; and the table of what came of it."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tests.faults.faults import FAULTS, Scene
from tests.faults.load import Load
from tests.faults.verdict import Verdict, judge_run
from tests.faults.world import GRACE, World

_HEAD = ("fault", "times", "witnessed", "stored", "duplicates", "lost", "open")

# Seconds until a worker that woke up knows that its lease is gone.
NOTICED_WITHIN = 2.0
# The longest outage, and two ticks.
NO_SLOT_FOR = timedelta(minutes=4)
# What the first error of a run says where Synclog is to blame, and where a deploy took it from its worker.
FAULTY = "Internal error in Synclog%"
DEPLOYED = (
    f"Run lost: its worker % was stopped, and the run did not end within the grace period of {GRACE} s%"
)


@dataclass
class Report:
    """What was injected, and what became of the runs that it hit."""

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

    def _row(self, name: str, verdict: Verdict) -> tuple[str, ...]:
        times = self.times[name] if name in self.times else self.times.total()
        counts = (times, verdict.witnessed, verdict.stored, verdict.duplicates, verdict.lost, verdict.open)
        return (name, *(f"{count:,}" for count in counts))


def plan_of(counts: Mapping[str, int], dice: random.Random) -> list[str]:
    """The names of the faults, each as often as wanted, in an order of the dice."""
    plan = [name for name, count in counts.items() for _time in range(count)]
    dice.shuffle(plan)
    return plan


def carry_out(world: World, plan: list[str], dice: random.Random, *, is_short: bool) -> Report:
    """Inject the faults of the plan one after the other, let the stack recover, and judge every run."""
    report = Report()
    hits: dict[str, list[int]] = {name: [] for name in dict.fromkeys(plan)}
    with Load(world, is_short=is_short) as load:
        scene = Scene(world, load, dice, is_short)
        scene.victim()
        for name, pause in _moments(plan, dice, is_short=is_short):
            time.sleep(pause)
            began = time.monotonic()
            hit = FAULTS[name](scene)
            hits[name] += hit
            report.times[name] += 1
            print(f"{name}: runs {hit}, {time.monotonic() - began:.1f} s", flush=True)
        load.wait_for_the_end()
    verdicts = {
        run_id: judge_run(world, run_id, until=load.asleep[run_id].fell if run_id in load.asleep else None)
        for run_id in load.runs
    }
    for name, run_ids in hits.items():
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


def _moments(plan: list[str], dice: random.Random, *, is_short: bool) -> Iterator[tuple[str, float]]:
    """Each fault with the seconds before it."""
    for name in plan:
        yield name, dice.uniform(0.1, 0.8) if is_short else dice.uniform(0.5, 5)


def _statuses(world: World, load: Load) -> Counter[str]:
    rows = world.query("SELECT status, count(*) FROM runs_run WHERE id = ANY(%s) GROUP BY status", load.runs)
    return Counter(dict(rows))


def _broken_rules(world: World, load: Load, verdicts: Mapping[int, Verdict]) -> Iterator[str]:
    """What concerns more than the lines of one run."""
    statuses = dict(world.query("SELECT id, status FROM runs_run"))
    for run_id in load.runs:
        if verdicts[run_id].lost and run_id not in load.may_lose:
            yield f"Run {run_id} lost lines although its disk had room"
    for run_id in load.must_succeed - load.may_fail:
        if statuses[run_id] != "succeeded":
            yield f"Run {run_id} did not outlive a deploy: {statuses[run_id]}"
    told = {run_id for (run_id,) in world.query("SELECT id FROM runs_run WHERE error LIKE %s", DEPLOYED)}
    for run_id in load.must_be_lost:
        if statuses[run_id] != "lost" or run_id not in told:
            yield f"Run {run_id} was too long for a deploy, and {statuses[run_id]}"
    for run_id, sleep in load.asleep.items():
        if not sleep.closed.is_kept_by(now := load.outcome(run_id)):
            yield f"Run {run_id} was changed by a worker that woke up: {sleep.closed} became {now}"
        if any(push.at > sleep.woke + NOTICED_WITHIN for push in world.witness.pushes(run_id)):
            yield f"Run {run_id} went on after its worker woke up without a lease"
    for run_id in load.cancelled:
        if statuses[run_id] != "cancelled":
            yield f"Run {run_id} was cancelled and {statuses[run_id]}"
    for run_id, error in world.query("SELECT id, error FROM runs_run WHERE error LIKE %s", FAULTY):
        yield f"Run {run_id} failed by a fault that is none of its own: {error}"
    yield from _broken_retries(world)
    yield from _broken_slots(world)


def _broken_retries(world: World) -> Iterator[str]:
    """A lost run is run again once where its service allows it, and a run that was not lost is not."""
    for run_id, status, allowed, count in world.query(
        "SELECT run.id, run.status, service.retry_limit, count(retry.id) FROM runs_run run"
        " JOIN services_service service ON service.id = run.service_id"
        " LEFT JOIN runs_run retry ON retry.retry_of_id = run.id AND retry.trigger = 'retry'"
        " AND NOT (retry.status = 'cancelled' AND retry.started_at IS NULL AND run.status <> 'lost')"
        " WHERE run.cancel_requested_at IS NULL AND run.attempt = 1"
        " GROUP BY run.id, run.status, service.retry_limit"
    ):
        wanted = 1 if allowed and status in {"lost", "failed"} else 0
        if count != wanted:
            yield f"Run {run_id} is {status} and was run again {count} times"


def _broken_slots(world: World) -> Iterator[str]:
    """Each slot has one run, none is queued before its time, and the schedule goes on."""
    slots = world.query(
        "SELECT id, scheduled_for, queued_at FROM runs_run WHERE trigger = 'schedule' ORDER BY scheduled_for"
    )
    for (before, slot, _queued), (run_id, following, _later) in itertools.pairwise(slots):
        if slot == following:
            yield f"Runs {before} and {run_id} have the slot {slot}"
        if following - slot > NO_SLOT_FOR:
            yield f"No slot was run from {slot} to {following}"
    for run_id, slot, queued_at in slots:
        if queued_at < slot:
            yield f"Run {run_id} was queued at {queued_at}, before its slot {slot}"
