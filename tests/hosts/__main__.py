"""The whole story (`make hosts`, `make hosts SEED=17`): about ten minutes."""

import random
import secrets
import sys
import time

from tests.environment import clear_environment
from tests.faults.campaign import make_plan, run_campaign
from tests.hosts.faults import FAULTS
from tests.hosts.network import is_supported
from tests.hosts.world import open_world, previous_code

COUNTS = {
    "log followed": 2,
    "host cut": 5,
    "worker cut for long": 2,
    "host slow": 4,
    "clock shifted": 4,
}
# Duration of a push in seconds.
PACE = 0.1


def main(arguments: list[str]) -> int:
    if not is_supported():
        print("`make hosts` needs Linux, root and /dev/net/tun.", file=sys.stderr)
        return 2
    seed = int(arguments[0]) if arguments and arguments[0] else secrets.randbelow(10**6)
    print(f"SEED={seed}", flush=True)
    clear_environment()
    rng = random.Random(seed)
    began = time.monotonic()
    plan = ["rolling upgrade", *make_plan(COUNTS, rng), "worker removed"]
    with previous_code() as root, open_world(PACE, rng, root) as world:
        report = run_campaign(world, plan, rng, is_short=False, faults=FAULTS)
        print(report.table())
        if report.total.broken:
            print(world.stack.output_tail(), file=sys.stderr)
    print(f"SEED={seed}, {time.monotonic() - began:.0f} s; {report.summary()}")
    return 1 if report.total.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
