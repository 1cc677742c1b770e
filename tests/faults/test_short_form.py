"""The short form of the fault tests: most kinds of faults; the seed (SEED=…) sets their order and times."""

import os
import random
import time

import pytest

from tests.faults.campaign import make_plan, run_campaign
from tests.faults.world import open_world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

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
# Duration of a push in seconds.
PACE = 0.02


def test_faults_break_no_promise() -> None:
    seed = int(os.environ.get("SEED") or time.time_ns() % 10**6)
    print(f"SEED={seed}")
    rng = random.Random(seed)

    with open_world(PACE) as world:
        report = run_campaign(world, make_plan(COUNTS, rng), rng, is_short=True)

        print(report.table())
        # A long report is cut at its end: the broken promises come first.
        assert not report.total.broken, "\n".join([*report.total.broken, world.stack.output_tail()])
        assert report.times == COUNTS
        assert report.total.lines.witnessed > 300
        assert report.total.records.witnessed > 100
