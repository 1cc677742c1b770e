"""Broker restart during a run: the workers survive it and execute later runs."""

import pytest

from tests.faults.verdict import judge_run
from tests.faults.world import WORKERS, World, open_world
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def test_workers_survive_broker_restart() -> None:
    with open_world(0.1) as world:
        run_id = wait_until(lambda: world.start_run("steady"), world.stack.output_tail)
        wait_until(lambda: world.witness.pushes(run_id), world.stack.output_tail)

        world.redis.kill()
        world.redis.start()

        wait_until(lambda: succeeded(world, run_id), world.stack.output_tail)
        assert judge_run(world, run_id).broken == []
        # More runs than one worker has processes for: both workers must still execute runs.
        after = [wait_until(lambda: world.start_run("steady"), world.stack.output_tail) for _run in range(4)]
        for each in after:
            wait_until(lambda run_id=each: succeeded(world, run_id), world.stack.output_tail, patience=120)
        assert [world.stack.process(name).poll() for name in (*WORKERS, "housekeeping")] == [None] * 3


def succeeded(world: World, run_id: int) -> bool:
    return world.query("SELECT status FROM runs_run WHERE id = %s", run_id) == [("succeeded",)]
