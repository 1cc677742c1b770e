"""A worker that is told to stop: short runs end, long ones are handed over, and nothing that was logged is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.verdict import judge_run
from tests.faults.world import World, children_of, world
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

# Seconds that runs are given: more than a short one takes on a busy machine, and less than a long one takes on any.
AMPLE, SCANT = 60, 3
# Seconds that a worker may take beyond them.
BEYOND = 10


@contextmanager
def world_with_grace(seconds: int) -> Iterator[World]:
    with world(0.02, SYNCLOG_GRACE_SECONDS=str(seconds)) as there:
        yield there


def under_way(there: World, service: str) -> tuple[int, str]:
    """A run that has pushed something, and the name of its worker."""
    run_id = wait_until(lambda: there.start_run(service), there.stack.last_words)
    wait_until(lambda: there.witness.pushes(run_id), there.stack.last_words)
    process = there.worker_of(run_id)
    [name] = [
        name for name in ("worker", "worker-ahead") if process in children_of(there.stack.process(name).pid)
    ]
    return run_id, name


def stop(there: World, name: str, grace: int) -> None:
    """Tell the worker to stop, and see it go in time."""
    there.stack.process(name).terminate()
    there.stack.process(name).wait(grace + BEYOND)
    there.stack.replace_dead()


def outcome(there: World, run_id: int) -> tuple[str, str]:
    [row] = there.query("SELECT status, error FROM runs_run WHERE id = %s", run_id)
    return row[0], row[1]


def test_a_run_that_ends_in_time_succeeds() -> None:
    with world_with_grace(AMPLE) as there:
        run_id, name = under_way(there, "steady")

        stop(there, name, AMPLE)

        assert outcome(there, run_id) == ("succeeded", "")
        assert judge_run(there, run_id).broken == []


def test_a_run_that_takes_longer_is_ended_in_words_and_run_again() -> None:
    with world_with_grace(SCANT) as there:
        run_id, name = under_way(there, "long")
        worker = there.query("SELECT worker FROM runs_run WHERE id = %s", run_id)[0][0]

        stop(there, name, SCANT)

        assert outcome(there, run_id) == (
            "lost",
            f"Run lost: its worker {worker} was stopped, and the run did not end within the grace period of {SCANT} s "
            "(SYNCLOG_GRACE_SECONDS)",
        )
        verdict = judge_run(there, run_id)
        assert (verdict.lost, verdict.broken) == (0, [])
        [(retry, due)] = there.query("SELECT id, due_at > now() FROM runs_run WHERE retry_of_id = %s", run_id)
        assert due
        there.query("UPDATE runs_run SET due_at = now() WHERE id = %s", retry)
        wait_until(lambda: there.witness.pushes(retry), there.stack.last_words)
        there.post(f"runs/{retry}/cancel/", {})
        wait_until(lambda: outcome(there, retry)[0] == "cancelled", there.stack.last_words)
