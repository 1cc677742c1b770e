"""Faults: each function injects one, repairs it, and returns the affected runs."""

import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.load import CLOSED_WITHIN, Load, Sleep
from tests.faults.world import GRACE, WORKERS, World, children_of, signal_process
from tests.stack import wait_until

# In seconds: downtime of a server, and the longest time that a frozen worker waits for its run to be closed.
DOWNTIME = 3.0
DATABASE_DOWNTIME = 60.0
MAX_FREEZE = 125.0
# Longer than a worker goes on without renewing its lease, which is shorter than the lease.
MIN_FREEZE = 46.0
NO_LIMIT = resource.RLIM_INFINITY


@dataclass(frozen=True)
class Scene:
    """Context of a fault: the world, its load, the random generator, and the form, short or long."""

    world: World
    load: Load
    rng: random.Random
    is_short: bool

    def victim(self) -> tuple[int, int]:
        """Returns a run that has logged something and the process that executes it."""

        def found() -> tuple[int, int] | None:
            runs = self.load.active()
            self.rng.shuffle(runs)
            for run_id in runs:
                process = self.world.worker_of(run_id)
                if process and self.world.witness.pushes(run_id):
                    return run_id, process
            return None

        return wait_until(found, self.world.stack.output_tail, CLOSED_WITHIN)

    def worker(self) -> str:
        """Returns the name of a worker that executes a run."""
        _run_id, process = self.victim()
        busy = [name for name in WORKERS if process in children_of(self.world.stack.process(name).pid)]
        return busy[0] if busy else self.rng.choice(WORKERS)

    def pause(self, seconds: float) -> None:
        time.sleep(min(seconds, DOWNTIME) if self.is_short else seconds)


def kill_child(scene: Scene) -> list[int]:
    run_id, process = scene.victim()
    signal_process(process, signal.SIGKILL)
    return [run_id]


def kill_main(scene: Scene) -> list[int]:
    """Kills the worker's main process; its children may or may not finish their runs."""
    name = scene.worker()
    affected = scene.load.active()
    scene.world.stack.kill(name)
    return affected


def kill_worker(scene: Scene) -> list[int]:
    """Kills all processes of a worker at once, as the kernel's OOM killer or a power failure would."""
    name = scene.worker()
    main = scene.world.stack.process(name).pid
    processes = {main, *children_of(main)}
    affected = [run_id for run_id in scene.load.active() if scene.world.worker_of(run_id) in processes]
    for process in processes:
        signal_process(process, signal.SIGKILL)
    scene.world.stack.kill(name)
    return affected


def kill_script(scene: Scene) -> list[int]:
    def killed() -> int | None:
        run_id, process = scene.victim()
        for child in children_of(process):
            signal_process(child, signal.SIGKILL)
            return run_id
        return None

    run_id = wait_until(killed)
    scene.load.may_fail.add(run_id)
    return [run_id]


def kill_beat(scene: Scene) -> list[int]:
    return _kill_with_children(scene, scene.rng.choice(("beat", "beat-2")))


def kill_housekeeping(scene: Scene) -> list[int]:
    return _kill_with_children(scene, "housekeeping")


def kill_web(scene: Scene) -> list[int]:
    return _kill_with_children(scene, "web")


def _kill_with_children(scene: Scene, name: str) -> list[int]:
    affected = scene.load.active()
    main = scene.world.stack.process(name).pid
    for process in (main, *children_of(main)):
        signal_process(process, signal.SIGKILL)
    scene.world.stack.kill(name)
    return affected


def deploy(scene: Scene) -> list[int]:
    """Sends SIGTERM to a worker: it finishes its runs while its successor starts new ones."""
    name = scene.worker()
    stopped = scene.world.stack.process(name)
    affected = [
        run_id for run_id in scene.load.active() if scene.world.worker_of(run_id) in children_of(stopped.pid)
    ]
    stopped.terminate()
    stopped.wait(60)
    scene.load.must_succeed.update(affected)
    return affected


def deploy_during_long_run(scene: Scene) -> list[int]:
    """Sends SIGTERM to a worker whose run takes longer than the grace period: the run is lost and retried."""
    run_id = wait_until(lambda: scene.load.start("long"), scene.world.stack.output_tail)
    process = wait_until(lambda: scene.world.worker_of(run_id), scene.world.stack.output_tail, CLOSED_WITHIN)
    [name] = [name for name in WORKERS if process in children_of(scene.world.stack.process(name).pid)]
    stopped = scene.world.stack.process(name)
    stopped.terminate()
    stopped.wait(GRACE + 10)
    wait_until(lambda: scene.load.closed(run_id), scene.world.stack.output_tail)
    scene.load.must_be_lost.add(run_id)
    retry = wait_until(lambda: scene.load.retry_of(run_id), scene.world.stack.output_tail, CLOSED_WITHIN)
    scene.load.cancel(retry)
    return [run_id, retry]


def restart_database(scene: Scene) -> list[int]:
    affected = scene.load.active()
    with scene.load.outage():
        scene.world.database.stop_immediately()
        scene.world.database.start()
    return affected


def stop_database(scene: Scene) -> list[int]:
    """Stops the database for a minute: a worker that cannot renew its lease for 45 s stops itself."""
    affected = scene.load.active()
    with scene.load.outage():
        scene.world.database.stop_immediately()
        scene.pause(DATABASE_DOWNTIME)
        scene.world.database.start()
    return affected


def flush_broker(scene: Scene) -> list[int]:
    affected = scene.load.active()
    scene.world.broker.flush()
    return affected


def restart_broker(scene: Scene) -> list[int]:
    affected = scene.load.active()
    with scene.load.outage():
        scene.world.broker.kill()
        scene.pause(scene.rng.uniform(0, DOWNTIME))
        scene.world.broker.start()
    return affected


def fail_store(scene: Scene) -> list[int]:
    return _break_store(scene, "error")


def hang_store(scene: Scene) -> list[int]:
    return _break_store(scene, "hang")


def lose_store(scene: Scene) -> list[int]:
    return _break_store(scene, "down")


def _break_store(scene: Scene, mode: str) -> list[int]:
    run_id, _process = scene.victim()
    scene.world.store.switch(mode)
    scene.pause(DOWNTIME * 2)
    scene.world.store.switch("through")
    return [run_id]


def fill_disk(scene: Scene) -> list[int]:
    """Limits the file size of a worker's process for a while, so that its spool cannot grow. The process may die."""
    run_id, process = scene.victim()
    spool = Path(scene.world.stack.environment["SYNCLOG_DATA_DIR"]) / "spool" / f"run-{run_id}.spool"
    size = spool.stat().st_size if spool.exists() else 0
    scene.load.may_lose.add(run_id)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size + scene.rng.randrange(300), NO_LIMIT))
    scene.pause(1.0)
    if scene.rng.random() < 0.5:
        # Before a heartbeat reports the lost lines.
        signal_process(process, signal.SIGKILL)
    else:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))
    return [run_id]


def freeze_child(scene: Scene) -> list[int]:
    """Freezes a worker until its lease expires and its run is closed, then resumes it."""
    run_id, process = scene.victim()
    signal_process(process, signal.SIGSTOP)
    frozen_at = time.monotonic()
    try:
        scene.load.lose(run_id)
        wait_until(lambda: scene.load.closed(run_id), scene.world.stack.output_tail, patience=MAX_FREEZE)
        closed = scene.load.outcome(run_id)
        # The short form ends the lease before its time.
        with scene.load.quiet():
            time.sleep(max(0, frozen_at + MIN_FREEZE - time.monotonic()))
    finally:
        signal_process(process, signal.SIGCONT)
    scene.load.asleep[run_id] = Sleep(frozen_at, time.monotonic(), closed)
    return [run_id]


def deliver_ten_times(scene: Scene) -> list[int]:
    run_id, _process = scene.victim()
    new = scene.load.start()
    for number in [run_id] * 5 + [new] * 5 if new else [run_id] * 10:
        scene.world.send("synclog.runs.execute", queue="runs", run_id=number)
    return [run_id, *([new] if new else [])]


def cancel(scene: Scene) -> list[int]:
    """Cancels a run that would take minutes."""
    run_id = wait_until(lambda: scene.load.start("long"), scene.world.stack.output_tail)
    wait_until(lambda: scene.world.witness.pushes(run_id), scene.world.stack.output_tail, CLOSED_WITHIN)
    scene.load.cancel(run_id)
    wait_until(lambda: scene.load.closed(run_id), scene.world.stack.output_tail, CLOSED_WITHIN)
    return [run_id]


FAULTS: dict[str, Callable[[Scene], list[int]]] = {
    "kill -9 worker child": kill_child,
    "kill -9 worker main": kill_main,
    "kill -9 whole worker": kill_worker,
    "kill -9 script": kill_script,
    "kill -9 beat": kill_beat,
    "kill -9 housekeeping": kill_housekeeping,
    "kill -9 web": kill_web,
    "SIGTERM worker": deploy,
    "SIGTERM, run too long": deploy_during_long_run,
    "database restarted": restart_database,
    "database stopped": stop_database,
    "broker flushed": flush_broker,
    "broker restarted": restart_broker,
    "store returns 500": fail_store,
    "store hangs": hang_store,
    "store down": lose_store,
    "spool's disk full": fill_disk,
    "worker asleep": freeze_child,
    "message ten times": deliver_ten_times,
    "cancel": cancel,
}
