"""Worker shutdown: short runs finish, long runs are lost and retried, and no logged line is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.verdict import judge_run
from tests.faults.world import World, children_of, open_world
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

# Grace periods in seconds: longer than a short run on a busy machine; shorter than a long run on any machine.
LONG_GRACE, SHORT_GRACE = 60, 3
# Seconds that the shutdown of a worker may take beyond the grace period.
EXTRA = 10


@contextmanager
def open_world_with_grace(seconds: int) -> Iterator[World]:
    with open_world(0.02, SYNCLOG_GRACE_SECONDS=str(seconds)) as world:
        yield world


def start_pushing_run(world: World, service: str) -> tuple[int, str]:
    """Starts a run, waits for its first push, and returns the run and the name of its worker."""
    run_id = wait_until(lambda: world.start_run(service), world.stack.output_tail)
    wait_until(lambda: world.witness.pushes(run_id), world.stack.output_tail)
    process = world.worker_of(run_id)
    [name] = [
        name for name in ("worker", "worker-ahead") if process in children_of(world.stack.process(name).pid)
    ]
    return run_id, name


def stop(world: World, name: str, grace: int) -> None:
    """Stops the worker, checks that it ends in time, and replaces it."""
    world.stack.process(name).terminate()
    world.stack.process(name).wait(grace + EXTRA)
    world.stack.replace_dead()


def outcome(world: World, run_id: int) -> tuple[str, str]:
    [row] = world.query("SELECT status, error FROM runs_run WHERE id = %s", run_id)
    return row[0], row[1]


def test_run_within_grace_period_succeeds() -> None:
    with open_world_with_grace(LONG_GRACE) as world:
        run_id, name = start_pushing_run(world, "steady")

        stop(world, name, LONG_GRACE)

        assert outcome(world, run_id) == ("succeeded", "")
        assert judge_run(world, run_id).broken == []


def test_run_beyond_grace_period_is_lost_and_retried() -> None:
    with open_world_with_grace(SHORT_GRACE) as world:
        run_id, name = start_pushing_run(world, "long")
        worker = world.query("SELECT worker FROM runs_run WHERE id = %s", run_id)[0][0]

        stop(world, name, SHORT_GRACE)

        assert outcome(world, run_id) == (
            "lost",
            f"Run lost: its worker {worker} was stopped, and the run did not end within the grace period of "
            f"{SHORT_GRACE} s (SYNCLOG_GRACE_SECONDS)",
        )
        verdict = judge_run(world, run_id)
        assert (verdict.lost, verdict.broken) == (0, [])
        [(retry, due)] = world.query("SELECT id, due_at > now() FROM runs_run WHERE retry_of_id = %s", run_id)
        assert due
        world.query("UPDATE runs_run SET due_at = now() WHERE id = %s", retry)
        wait_until(lambda: world.witness.pushes(retry), world.stack.output_tail)
        world.post(f"runs/{retry}/cancel/", {})
        wait_until(lambda: outcome(world, retry)[0] == "cancelled", world.stack.output_tail)
