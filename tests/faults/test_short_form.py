"""The short form of the fault tests, and workers through shutdowns and broker restarts, on one stack.

The short form has most kinds of faults; the seed (SEED=…) sets their order and times.
"""

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.faults.campaign import make_plan, run_campaign
from tests.faults.verdict import judge_run
from tests.faults.world import WORKERS, World, children_of, open_world
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

# Grace period in seconds: longer than a run of "steady" on a busy machine, shorter than a run of "long".
GRACE = 20
# Seconds that the shutdown of a worker may take beyond the grace period.
EXTRA = 10
# Duration of a push in seconds.
PACE = 0.05
# No "broker flushed": a restarted broker is empty too.
COUNTS = {
    "kill -9 worker child": 1,
    "kill -9 whole worker": 1,
    "kill -9 worker main": 1,
    "kill -9 script": 1,
    "kill -9 web": 1,
    "SIGTERM worker": 1,
    "database restarted": 1,
    "database stopped": 1,
    "broker restarted": 1,
    "store down": 1,
    "spool's disk full": 1,
    "worker asleep": 1,
    "message ten times": 1,
    "cancel": 1,
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_world(PACE, SYNCLOG_GRACE_SECONDS=str(GRACE)) as world:
        yield world


def start_pushing_run(world: World, service: str) -> tuple[int, str]:
    """Starts a run, waits for its first push, and returns the run and the name of its worker."""
    run_id = wait_until(lambda: world.start_run(service), world.stack.output_tail)
    wait_until(lambda: world.witness.pushes(run_id), world.stack.output_tail)
    process = world.worker_of(run_id)
    [name] = [name for name in WORKERS if process in children_of(world.stack.process(name).pid)]
    return run_id, name


def stop(world: World, name: str) -> None:
    """Stops the worker, checks that it ends in time, and replaces it."""
    world.stack.process(name).terminate()
    world.stack.process(name).wait(GRACE + EXTRA)
    world.stack.replace_dead()


def outcome(world: World, run_id: int) -> str:
    [(status,)] = world.query("SELECT status FROM runs_run WHERE id = %s", run_id)
    return str(status)


def test_run_within_grace_period_succeeds(world: World) -> None:
    run_id, name = start_pushing_run(world, "steady")

    stop(world, name)

    assert outcome(world, run_id) == "succeeded"
    assert judge_run(world, run_id).broken == []


def test_run_beyond_grace_period_is_lost_and_retried(world: World) -> None:
    run_id, name = start_pushing_run(world, "long")
    worker = world.query("SELECT worker FROM runs_run WHERE id = %s", run_id)[0][0]

    stop(world, name)

    assert outcome(world, run_id) == "lost"
    message = (
        f"Run lost: its worker {worker} was stopped, and the run did not end within the grace period of "
        f"{GRACE} s (SYNCLOG_GRACE_SECONDS)"
    )
    lines = world.query("SELECT message FROM runs_logentry WHERE run_id = %s AND level = 40", run_id)
    assert message in [line for (line,) in lines]
    verdict = judge_run(world, run_id)
    assert (verdict.lines.lost, verdict.broken) == (0, [])
    [(retry, due)] = world.query("SELECT id, due_at > now() FROM runs_run WHERE retry_of_id = %s", run_id)
    assert due
    world.query("UPDATE runs_run SET due_at = now() WHERE id = %s", retry)
    wait_until(lambda: world.witness.pushes(retry), world.stack.output_tail)
    world.post(f"runs/{retry}/cancel/", {})
    wait_until(lambda: outcome(world, retry) == "cancelled", world.stack.output_tail)


def test_workers_survive_broker_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Slow enough that the run outlasts the restart.
    monkeypatch.setattr(world.witness, "pace", 0.1)
    run_id, _name = start_pushing_run(world, "steady")

    world.broker.kill()
    world.broker.start()

    wait_until(lambda: outcome(world, run_id) == "succeeded", world.stack.output_tail)
    assert judge_run(world, run_id).broken == []
    # More runs than one worker has processes for: both workers must still execute runs.
    monkeypatch.setattr(world.witness, "pace", PACE)
    later = [wait_until(lambda: world.start_run("steady"), world.stack.output_tail) for _run in range(4)]
    for each in later:
        wait_until(
            lambda run_id=each: outcome(world, run_id) == "succeeded",
            world.stack.output_tail,
            patience=120,
        )
    assert [world.stack.process(name).poll() for name in (*WORKERS, "housekeeping")] == [None] * 3


def test_faults_break_no_promise(world: World) -> None:
    seed = int(os.environ.get("SEED") or time.time_ns() % 10**6)
    print(f"SEED={seed}")
    rng = random.Random(seed)

    report = run_campaign(world, make_plan(COUNTS, rng), rng, is_short=True)

    print(report.table())
    # A long report is cut at its end: the broken promises come first.
    assert not report.total.broken, "\n".join([*report.total.broken, world.stack.output_tail()])
    assert report.times == COUNTS
    assert report.total.lines.witnessed > 300
    assert report.total.records.witnessed > 100
