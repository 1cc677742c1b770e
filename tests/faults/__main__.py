"""The long form (`make faults`, `make faults SEED=17`): about 15 minutes with at least fifty kills."""

import random
import secrets
import sys
import time

from tests.environment import clear_environment
from tests.faults.campaign import make_plan, run_campaign
from tests.faults.world import open_world

COUNTS = {
    "kill -9 worker child": 18,
    "kill -9 whole worker": 6,
    "kill -9 worker main": 6,
    "kill -9 script": 10,
    "kill -9 beat": 5,
    "kill -9 housekeeping": 4,
    "kill -9 web": 4,
    "SIGTERM worker": 3,
    "SIGTERM, run too long": 1,
    "database restarted": 3,
    "database stopped": 1,
    "broker flushed": 3,
    "broker restarted": 3,
    "store returns 500": 2,
    "store hangs": 2,
    "store down": 2,
    "spool's disk full": 4,
    "worker asleep": 2,
    "message ten times": 5,
    "cancel": 6,
}
# Duration of a push in seconds.
PACE = 0.1


def main(arguments: list[str]) -> int:
    seed = int(arguments[0]) if arguments and arguments[0] else secrets.randbelow(10**6)
    print(f"SEED={seed}", flush=True)
    clear_environment()
    rng = random.Random(seed)
    began = time.monotonic()
    with open_world(PACE) as world:
        report = run_campaign(world, make_plan(COUNTS, rng), rng, is_short=False)
        print(report.table())
        if report.total.broken:
            print(world.stack.output_tail(), file=sys.stderr)
    print(f"SEED={seed}, {time.monotonic() - began:.0f} s; {report.summary()}")
    return 1 if report.total.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
