"""CPU time of worker processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from celery import Celery
from django.conf import settings

from apps.runs.models import Run
from apps.services.models import Connection, Service
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.memory import children_of
from tests.servers import RedisServer
from tests.stack import wait_until

ROOT = Path(__file__).resolve().parents[2]
RUNS = 16
ROUNDS = 3
RECORDS = 100
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@benchmark("run_cpu_by_workers_ms", "ms", databases=["postgresql"], also={"run_cpu_by_two_workers_ms": "ms"})
def run_cpu_by_workers() -> dict[str, Figure]:
    """CPU time, user and system, of a short run in a worker with four processes, and with two, against one process.

    The run copies 100 records from one file to another.
    """
    service = _make_service()
    with RedisServer() as redis, ExitStack() as opened:
        workers = {count: opened.enter_context(_worker(count, redis)) for count in (1, 2, 4)}
        for count, worker in workers.items():
            # Each process imports modules with its first runs.
            _cpu_ms(service, redis, worker, count)
        return {
            name: compare(
                lambda count=count: _cpu_ms(service, redis, workers[count], count),
                lambda: _cpu_ms(service, redis, workers[1], 1),
                rounds=ROUNDS,
            )
            for name, count in (("run_cpu_by_workers_ms", 4), ("run_cpu_by_two_workers_ms", 2))
        }


def _make_service() -> Service:
    folder = settings.DATA_DIR / "files"
    folder.mkdir()
    rows = "".join(f"{number},Ann {number},ann{number}@example.com\n" for number in range(RECORDS))
    (folder / "in.csv").write_text(f"id,name,mail\n{rows}")
    connection = Connection.objects.create(name="files", kind="file", url=f"file://{folder}")
    return factories.make_service(
        source_connection=connection,
        source_options={"path": "in.csv", "id_field": "id"},
        destination_connection=connection,
        destination_options={"path": "{run}.csv"},
    )


@contextmanager
def _worker(count: int, redis: RedisServer) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with a queue of its own."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "config", "worker", "--loglevel=WARNING"),
            *("-Q", f"runs-{count}", "-c", str(count), "-n", f"runs-{count}@%h"),
        ],
        cwd=ROOT,
        env=os.environ | redis.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _cpu_ms(service: Service, redis: RedisServer, worker: subprocess.Popen[bytes], count: int) -> float:
    """CPU time of the worker per run."""
    runs = [factories.make_run(service, status=Run.Status.QUEUED).pk for _number in range(RUNS)]
    wait_until(lambda: len(children_of(worker.pid)) == count)
    before = _cpu_seconds(worker.pid)
    with Celery(broker=redis.url, set_as_current=False) as client:
        for run_id in runs:
            client.send_task("synclog.runs.execute", kwargs={"run_id": run_id}, queue=f"runs-{count}")
    wait_until(lambda: not Run.objects.open().filter(pk__in=runs).exists())
    # The last run still removes its spool.
    time.sleep(0.5)
    assert not Run.objects.filter(pk__in=runs).exclude(status=Run.Status.SUCCEEDED).exists()
    return (_cpu_seconds(worker.pid) - before) * 1000 / RUNS


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process, of its children, and of their ended children."""
    return sum(map(_own_cpu_seconds, (pid, *children_of(pid))))


def _own_cpu_seconds(pid: int) -> float:
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, columns[11:15])) / TICKS_PER_SECOND
