"""A worker that is told to stop: short runs end, long ones are handed over, and nothing that was logged is lost."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.verdict import judge_run
from tests.faults.world import World, children_of, world
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

# Seconds that runs are given, and that a worker may take beyond them.
GRACE = 3
BEYOND = 10


@pytest.fixture(scope="module")
def there() -> Iterator[World]:
    with world(0.02, SYNCLOG_GRACE_SECONDS=str(GRACE)) as there:
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


def stop(there: World, name: str) -> float:
    """Seconds that the worker took to go."""
    started = time.monotonic()
    there.stack.process(name).terminate()
    there.stack.process(name).wait(GRACE + BEYOND)
    return time.monotonic() - started


def outcome(there: World, run_id: int) -> tuple[str, str]:
    [row] = there.query("SELECT status, error FROM runs_run WHERE id = %s", run_id)
    return row[0], row[1]


def test_a_run_that_ends_in_time_succeeds(there: World) -> None:
    run_id, name = under_way(there, "steady")

    stop(there, name)
    there.stack.replace_dead()

    assert outcome(there, run_id) == ("succeeded", "")
    assert judge_run(there, run_id).broken == []


def test_a_run_that_takes_longer_is_ended_in_words_and_run_again(there: World) -> None:
    run_id, name = under_way(there, "long")
    worker = there.query("SELECT worker FROM runs_run WHERE id = %s", run_id)[0][0]

    stop(there, name)
    there.stack.replace_dead()

    status, error = outcome(there, run_id)
    assert (status, error) == (
        "lost",
        f"Run lost: its worker {worker} was stopped, and the run did not end within the {GRACE} s that it was given "
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
