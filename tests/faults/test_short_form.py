"""The short form of the fault tests: a fault of most kinds, in an order and at moments of the seed (SEED=…)."""

import os
import random
import time

import pytest

from tests.faults.campaign import carry_out, plan_of
from tests.faults.world import world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

# A broker that is restarted has forgotten everything, as one that was flushed.
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
# Seconds that a push takes.
PACE = 0.02


def test_no_promise_is_broken_whatever_dies() -> None:
    seed = int(os.environ.get("SEED") or time.time_ns() % 10**6)
    print(f"SEED={seed}")
    dice = random.Random(seed)

    with world(PACE) as there:
        report = carry_out(there, plan_of(COUNTS, dice), dice, is_short=True)

        print(report.table())
        assert report.total.broken == [], there.stack.last_words()
        assert report.times == COUNTS
        assert report.total.witnessed > 300
