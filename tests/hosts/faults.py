"""Faults of hosts and of their network: each function injects one, repairs it, and returns the affected runs."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

from tests.faults.faults import Scene
from tests.faults.load import CLOSED_WITHIN
from tests.hosts.network import CUT, Quality
from tests.hosts.world import BACKEND, CAPTURED_RECORDS, HOST_OF, HOSTS, WORKERS, HostsWorld
from tests.stack import ROOT, wait_until

# In seconds. A worker that cannot renew its lease stops after 45, another one may close its run after 60.
SHORT_CUT = (5, 25)
LONG_CUT = 100
SLOW_TIME = 30
# Time until the log on the web host shows a line; a slow network adds its delays.
VISIBLE_WITHIN = 5
VISIBLE_WITHIN_IF_SLOW = 20
CLOCK_STEPS = (-86_400, -600, 600, 86_400)


def _world(scene: Scene) -> HostsWorld:
    return cast("HostsWorld", scene.world)


def _runs_on(scene: Scene, host: str) -> list[int]:
    return [run_id for run_id in scene.load.active() if _world(scene).host_of(run_id) == host]


def _busy_worker(scene: Scene) -> str:
    run_id, _process = scene.victim()
    return _world(scene).host_of(run_id) or scene.rng.choice([name for name in WORKERS if name in HOSTS])


def cut_host(scene: Scene) -> list[int]:
    """Cuts a host from all others, the one with the database included, for a shorter time than a lease."""
    world = _world(scene)
    host = scene.rng.choice([*world.stack.hosts, BACKEND])
    affected = _runs_on(scene, host) if host in WORKERS else scene.load.active()
    print(f"cut: {host}", flush=True)
    with ExitStack() as outage, world.quality(host, CUT):
        if host in ("housekeeping", BACKEND):
            outage.enter_context(scene.load.outage())
        time.sleep(scene.rng.uniform(*SHORT_CUT))
    return affected


def cut_worker_for_long(scene: Scene) -> list[int]:
    """Cuts a worker from Synclog's other hosts, but not from the destination, until its runs are closed."""
    world = _world(scene)
    host = _busy_worker(scene)
    print(f"cut: {host}", flush=True)
    with world.quality(host, CUT, to=(BACKEND, *HOSTS)):
        cut_at = time.monotonic()
        affected = _runs_on(scene, host)
        for run_id in affected:
            scene.load.lose(run_id)
        wait_until(lambda: all(map(scene.load.closed, affected)), patience=CLOSED_WITHIN)
        print(f"closed after {time.monotonic() - cut_at:.0f} s", flush=True)
        time.sleep(max(0, cut_at + LONG_CUT - time.monotonic()))
    spools = [world.stack.data(host) / "spool" / f"run-{run_id}.spool" for run_id in affected]
    wait_until(lambda: not any(spool.exists() for spool in spools), patience=CLOSED_WITHIN)
    print(f"late lines added after {time.monotonic() - cut_at:.0f} s", flush=True)
    return affected


def slow_host(scene: Scene) -> list[int]:
    """Delays the frames of a host and loses some of them."""
    world = _world(scene)
    host = scene.rng.choice([*world.stack.hosts, BACKEND])
    quality = Quality(delay=scene.rng.uniform(0.02, 0.2), loss=0.02)
    print(f"slow: {host}, {quality}", flush=True)
    affected = scene.load.active()
    with world.quality(host, quality):
        started = time.monotonic()
        affected += _follow_log(scene, VISIBLE_WITHIN_IF_SLOW)
        time.sleep(max(0, started + SLOW_TIME - time.monotonic()))
    return affected


def follow_log(scene: Scene) -> list[int]:
    """Follows the log of a run on the web host while a worker executes the run."""
    return _follow_log(scene, VISIBLE_WITHIN)


def _follow_log(scene: Scene, within: float) -> list[int]:
    world = _world(scene)
    run_id = wait_until(lambda: scene.load.start("long"))
    for count in (10, 30):
        pushes = wait_until(
            lambda count=count: world.witness.pushes(run_id)[count:], world.stack.output_tail, CLOSED_WITHIN
        )
        line, pushed_at = f"record {pushes[-1].number}", time.monotonic()
        wait_until(lambda line=line: world.shows_line(run_id, line), world.stack.output_tail, within)
        print(f"run {run_id}: {line} shown after {time.monotonic() - pushed_at:.1f} s", flush=True)
    scene.load.cancel(run_id)
    wait_until(lambda: scene.load.closed(run_id), world.stack.output_tail, CLOSED_WITHIN)
    return [run_id]


def shift_clock(scene: Scene) -> list[int]:
    world = _world(scene)
    host = scene.rng.choice([name for name in world.stack.hosts if name != "web"])
    seconds = scene.rng.choice(CLOCK_STEPS)
    print(f"clock: {host}, {seconds} s", flush=True)
    world.stack.set_clock(host, seconds)
    return scene.load.active()


def remove_host(scene: Scene) -> list[int]:
    """Removes a worker host for good, without notice, while it executes a run that captures its payloads."""
    world = _world(scene)
    captured = wait_until(lambda: _captured_run(scene), world.stack.output_tail, CLOSED_WITHIN * 2)
    host = world.host_of(captured)
    print(f"removed: {host}", flush=True)
    world.stack.network.change(host, CUT)
    removed_at = time.monotonic()
    affected = _runs_on(scene, host)
    scene.load.may_lose.update(affected)
    world.stack.remove(host)
    for run_id in affected:
        scene.load.lose(run_id)
    wait_until(lambda: all(map(scene.load.closed, affected)), world.stack.output_tail, CLOSED_WITHIN)
    print(f"closed after {time.monotonic() - removed_at:.0f} s", flush=True)
    # The page of the run shows the reason.
    [(reason,)] = world.query("SELECT lost_reason FROM runs_run WHERE id = %s", captured)
    assert f"its last lines and captured payloads may be on {host};" in reason, reason
    return affected


def _captured_run(scene: Scene) -> int | None:
    """Returns a run that has captured payloads and is not at its end."""
    [(service,)] = scene.world.query("SELECT id FROM services_service WHERE slug = 'captured'")
    rows = scene.world.query("SELECT id FROM runs_run WHERE status = 'running' AND service_id = %s", service)
    most = range(20, CAPTURED_RECORDS // 2)
    return next((run_id for (run_id,) in rows if len(scene.world.witness.pushes(run_id)) in most), None)


def upgrade(scene: Scene) -> list[int]:
    """Migrates the database while old code runs, then replaces one process after the other."""
    world = _world(scene)
    world.stack.root = ROOT
    began = time.monotonic()
    world.stack.manage("migrate", "--verbosity=0")
    print(f"migrated within {time.monotonic() - began:.1f} s", flush=True)
    affected = []
    names = list(HOST_OF)
    scene.rng.shuffle(names)
    for name in names:
        time.sleep(scene.rng.uniform(5, 10))
        stopped = world.stack.process(name)
        stopping = _runs_on(scene, name)
        stopped.terminate()
        stopped.wait(60)
        print(f"upgraded: {name}, runs {stopping}", flush=True)
        affected += stopping
        scene.load.must_succeed.update(stopping)
    return affected


FAULTS: dict[str, Callable[[Scene], list[int]]] = {
    "rolling upgrade": upgrade,
    "log followed": follow_log,
    "host cut": cut_host,
    "worker cut for long": cut_worker_for_long,
    "host slow": slow_host,
    "clock shifted": shift_clock,
    "worker removed": remove_host,
}
