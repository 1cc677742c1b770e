"""A broker that is restarted under a running run: the workers outlive it, and take what comes after."""

import pytest

from tests.faults.verdict import judge_run
from tests.faults.world import WORKERS, World, world
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def test_workers_outlive_a_broker_that_is_restarted() -> None:
    with world(0.1) as there:
        run_id = wait_until(lambda: there.start_run("steady"), there.stack.last_words)
        wait_until(lambda: there.witness.pushes(run_id), there.stack.last_words)

        there.redis.kill()
        there.redis.start()

        wait_until(lambda: succeeded(there, run_id), there.stack.last_words)
        assert judge_run(there, run_id).broken == []
        # More than one worker has processes for: both must still bind_thread.
        after = [wait_until(lambda: there.start_run("steady"), there.stack.last_words) for _run in range(4)]
        for each in after:
            wait_until(lambda run_id=each: succeeded(there, run_id), there.stack.last_words, patience=120)
        assert [there.stack.process(name).poll() for name in (*WORKERS, "housekeeping")] == [None] * 3


def succeeded(there: World, run_id: int) -> bool:
    return there.query("SELECT status FROM runs_run WHERE id = %s", run_id) == [("succeeded",)]
