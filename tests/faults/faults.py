"""What is done to the stack: each fault is injected, mended, and answers with the runs that it hit."""

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

# In seconds: how long a server is away, and how long a worker sleeps at most until its run was closed.
AWAY = 3.0
DATABASE_AWAY = 60.0
ASLEEP = 125.0
NO_LIMIT = resource.RLIM_INFINITY


@dataclass(frozen=True)
class Scene:
    """Where a fault takes place: the world, its load, the dice, and the form, short or long."""

    world: World
    load: Load
    dice: random.Random
    is_short: bool

    def victim(self) -> tuple[int, int]:
        """A run that has logged something, and the process that executes it."""

        def found() -> tuple[int, int] | None:
            runs = self.load.active()
            self.dice.shuffle(runs)
            for run_id in runs:
                process = self.world.worker_of(run_id)
                if process and self.world.witness.pushes(run_id):
                    return run_id, process
            return None

        return wait_until(found, self.world.stack.last_words, CLOSED_WITHIN)

    def worker(self) -> str:
        """The name of a worker that executes a run."""
        _run_id, process = self.victim()
        busy = [name for name in WORKERS if process in children_of(self.world.stack.process(name).pid)]
        return busy[0] if busy else self.dice.choice(WORKERS)

    def pause(self, seconds: float) -> None:
        time.sleep(min(seconds, AWAY) if self.is_short else seconds)


def kill_child(scene: Scene) -> list[int]:
    run_id, process = scene.victim()
    signal_process(process, signal.SIGKILL)
    return [run_id]


def kill_main(scene: Scene) -> list[int]:
    """The worker's main process; its children may bring their runs to an end, or not."""
    name = scene.worker()
    hit = scene.load.active()
    scene.world.stack.kill(name)
    return hit


def kill_worker(scene: Scene) -> list[int]:
    """The whole worker at once, as the system's memory killer or a power cut would."""
    name = scene.worker()
    main = scene.world.stack.process(name).pid
    doomed = {main, *children_of(main)}
    hit = [run_id for run_id in scene.load.active() if scene.world.worker_of(run_id) in doomed]
    for process in doomed:
        signal_process(process, signal.SIGKILL)
    scene.world.stack.kill(name)
    return hit


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
    return _kill_with_children(scene, scene.dice.choice(("beat", "beat-2")))


def kill_housekeeping(scene: Scene) -> list[int]:
    return _kill_with_children(scene, "housekeeping")


def kill_web(scene: Scene) -> list[int]:
    return _kill_with_children(scene, "web")


def _kill_with_children(scene: Scene, name: str) -> list[int]:
    hit = scene.load.active()
    main = scene.world.stack.process(name).pid
    for process in (main, *children_of(main)):
        signal_process(process, signal.SIGKILL)
    scene.world.stack.kill(name)
    return hit


def deploy(scene: Scene) -> list[int]:
    """SIGTERM for a worker: it brings its runs to their end, while its successor takes new ones."""
    name = scene.worker()
    leaving = scene.world.stack.process(name)
    hit = [
        run_id for run_id in scene.load.active() if scene.world.worker_of(run_id) in children_of(leaving.pid)
    ]
    leaving.terminate()
    leaving.wait(60)
    scene.load.must_succeed.update(hit)
    return hit


def deploy_in_a_hurry(scene: Scene) -> list[int]:
    """SIGTERM for a worker with a run that takes longer than the grace: that run is lost, and run again."""
    run_id = wait_until(lambda: scene.load.start("long"), scene.world.stack.last_words)
    process = wait_until(lambda: scene.world.worker_of(run_id), scene.world.stack.last_words, CLOSED_WITHIN)
    [name] = [name for name in WORKERS if process in children_of(scene.world.stack.process(name).pid)]
    leaving = scene.world.stack.process(name)
    leaving.terminate()
    leaving.wait(GRACE + 10)
    wait_until(lambda: scene.load.closed(run_id), scene.world.stack.last_words)
    scene.load.must_be_lost.add(run_id)
    retry = wait_until(lambda: scene.load.retry_of(run_id), scene.world.stack.last_words, CLOSED_WITHIN)
    scene.load.cancel(retry)
    return [run_id, retry]


def restart_database(scene: Scene) -> list[int]:
    hit = scene.load.active()
    with scene.load.outage():
        scene.world.database.stop_at_once()
        scene.world.database.start()
    return hit


def stop_database(scene: Scene) -> list[int]:
    """A minute without a database: a worker stops itself when it could not renew its lease for 45 s."""
    hit = scene.load.active()
    with scene.load.outage():
        scene.world.database.stop_at_once()
        scene.pause(DATABASE_AWAY)
        scene.world.database.start()
    return hit


def flush_broker(scene: Scene) -> list[int]:
    hit = scene.load.active()
    with scene.world.redis_client() as client:
        client.flushall()
    return hit


def restart_broker(scene: Scene) -> list[int]:
    hit = scene.load.active()
    with scene.load.outage():
        scene.world.redis.kill()
        scene.pause(scene.dice.uniform(0, AWAY))
        scene.world.redis.start()
    return hit


def fail_store(scene: Scene) -> list[int]:
    return _break_store(scene, "error")


def hang_store(scene: Scene) -> list[int]:
    return _break_store(scene, "hang")


def lose_store(scene: Scene) -> list[int]:
    return _break_store(scene, "down")


def _break_store(scene: Scene, mode: str) -> list[int]:
    run_id, _process = scene.victim()
    scene.world.store.switch(mode)
    scene.pause(AWAY * 2)
    scene.world.store.switch("through")
    return [run_id]


def fill_disk(scene: Scene) -> list[int]:
    """The spool takes nothing more for a while: the files of the worker's process may not grow. It may die of it."""
    run_id, process = scene.victim()
    spool = Path(scene.world.stack.environment["SYNCLOG_DATA_DIR"]) / "spool" / f"run-{run_id}.spool"
    size = spool.stat().st_size if spool.exists() else 0
    scene.load.may_lose.add(run_id)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size + scene.dice.randrange(300), NO_LIMIT))
    scene.pause(1.0)
    if scene.dice.random() < 0.5:
        # Before a heartbeat has told anybody what was lost.
        signal_process(process, signal.SIGKILL)
    else:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))
    return [run_id]


def freeze_child(scene: Scene) -> list[int]:
    """A worker stands still until its lease has run out and its run was closed, then wakes up."""
    run_id, process = scene.victim()
    signal_process(process, signal.SIGSTOP)
    fell = time.monotonic()
    try:
        scene.load.lose(run_id)
        wait_until(lambda: scene.load.closed(run_id), scene.world.stack.last_words, patience=ASLEEP)
        closed = scene.load.outcome(run_id)
    finally:
        signal_process(process, signal.SIGCONT)
    scene.load.asleep[run_id] = Sleep(fell, time.monotonic(), closed)
    return [run_id]


def deliver_ten_times(scene: Scene) -> list[int]:
    run_id, _process = scene.victim()
    fresh = scene.load.start()
    for number in [run_id] * 5 + [fresh] * 5 if fresh else [run_id] * 10:
        scene.world.send("synclog.runs.execute", queue="runs", run_id=number)
    return [run_id, *([fresh] if fresh else [])]


def cancel(scene: Scene) -> list[int]:
    """A run that would go on for minutes."""
    run_id = wait_until(lambda: scene.load.start("long"), scene.world.stack.last_words)
    wait_until(lambda: scene.world.witness.pushes(run_id), scene.world.stack.last_words, CLOSED_WITHIN)
    scene.load.cancel(run_id)
    wait_until(lambda: scene.load.closed(run_id), scene.world.stack.last_words, CLOSED_WITHIN)
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
    "SIGTERM, run too long": deploy_in_a_hurry,
    "database restarted": restart_database,
    "database stopped": stop_database,
    "broker flushed": flush_broker,
    "broker restarted": restart_broker,
    "store answers 500": fail_store,
    "store hangs": hang_store,
    "store down": lose_store,
    "spool's disk full": fill_disk,
    "worker asleep": freeze_child,
    "message ten times": deliver_ten_times,
    "cancel": cancel,
}
