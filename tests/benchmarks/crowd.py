"""Many runs at once, of two workers: how late a line may come, and what a run takes of a worker's memory."""

import logging
import multiprocessing
import sys
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path

from django.db import connection

from apps.runs.execution.finalization import end_run
from apps.runs.log.run_log import RunLog
from apps.runs.models import LogEntry, Run
from tests import factories
from tests.benchmarks.harness import Figure, benchmark

WORKERS = 2
RUNS_A_WORKER = 100
LINES_A_SECOND = 50
# A service says a few lines after each request. A line at a time would cost 10,000 wake-ups a second, more than all
# the rest.
LINES_AT_ONCE = 5
SECONDS = 20
LINES = LINES_A_SECOND * SECONDS
RUNS = WORKERS * RUNS_A_WORKER

logger = logging.getLogger("apps.services.connectors.http.connector")


@benchmark("many_runs_late_s", "s", databases=["postgresql"], also={"many_runs_memory_mib": "MiB"})
def many_runs() -> dict[str, Figure]:
    """The latest line of 200 runs at once, 100 threads in each of two processes, of 50 lines a second each.

    From the call of logger.info to the commit, as a reader of all the runs sees it 20 times a second. Memory is
    by how much a process grew for its runs, after one run before them.
    """
    runs = [factories.make_run(status=Run.Status.QUEUED).pk for _number in range(RUNS + WORKERS)]
    connection.close()
    context = multiprocessing.get_context("fork")
    pipes, workers = [], []
    for number in range(WORKERS):
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(runs[number::WORKERS], theirs), daemon=True)
        worker.start()
        pipes.append(ours)
        workers.append(worker)
    seen = _watch(runs)
    growth = [pipe.recv() for pipe in pipes]
    for worker in workers:
        worker.join()
    delays = _delays(runs, seen)
    print(
        f"Half of {len(delays):,} lines could be read after {delays[len(delays) // 2]:.2f} s, 99 of 100 after"
        f" {delays[int(len(delays) * 0.99)]:.2f} s, all after {delays[-1]:.2f} s; the workers grew by"
        f" {', '.join(f'{mebibytes:.0f}' for mebibytes in growth)} MiB",
        file=sys.stderr,
    )
    return {
        "many_runs_late_s": Figure(delays[-1]),
        "many_runs_memory_mib": Figure(max(growth) / RUNS_A_WORKER),
    }


def _work(runs: list[int], pipe: Connection) -> None:
    """What a worker process does: a run alone, then all the others at once; tells by how many MiB it grew."""
    _execute(runs[0], lines=100)
    before = _resident()
    threads = [threading.Thread(target=_execute, args=(run, LINES)) for run in runs[1:]]
    for thread in threads:
        thread.start()
    peak = before
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, _resident())
        time.sleep(0.1)
    pipe.send(peak - before)


def _execute(run_id: int, lines: int) -> None:
    """Claim a run, say its lines one after the other, and end it, as execution does."""
    run = Run.objects.select_related("service").get(pk=run_id)
    token = run.claim("benchmark")
    assert token is not None
    with RunLog(run, token, secrets=["a secret that is looked for"]) as log:
        began = time.perf_counter()
        for number in range(lines):
            early = began + number / LINES_A_SECOND - time.perf_counter()
            if number % LINES_AT_ONCE == 0 and early > 0:
                time.sleep(early)
            logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")
        end_run(run, token, log, Run.Status.SUCCEEDED)
    connection.close()


def _watch(runs: list[int]) -> dict[int, tuple[list[int], list[float]]]:
    """Until all have ended: of each run how many lines could be read, and when that was first seen."""
    seen: dict[int, tuple[list[int], list[float]]] = defaultdict(lambda: ([0], [0.0]))
    until = time.monotonic() + SECONDS * 10
    while True:
        # The count is written with the lines.
        rows = list(Run.objects.filter(pk__in=runs).values_list("pk", "line_count", "status"))
        now = time.time()
        for run_id, line_count, _status in rows:
            counts, times = seen[run_id]
            if line_count > counts[-1]:
                counts.append(line_count)
                times.append(now)
        if all(status not in Run.OPEN for _run, _count, status in rows):
            return seen
        assert time.monotonic() < until, "The runs do not come to their end."
        time.sleep(0.05)


def _delays(runs: list[int], seen: dict[int, tuple[list[int], list[float]]]) -> list[float]:
    """Of each line, in order of their size."""
    lines = LogEntry.objects.filter(run_id__in=runs).values_list("run_id", "sequence", "logged_at")
    delays = []
    for run_id, sequence, logged_at in lines.iterator():
        counts, times = seen[run_id]
        delays.append(times[bisect_left(counts, sequence)] - logged_at.timestamp())
    assert len(delays) == RUNS * LINES + WORKERS * 100
    assert not Run.objects.filter(pk__in=runs).exclude(status=Run.Status.SUCCEEDED, is_complete=True).exists()
    return sorted(delays)


def _resident() -> float:
    """The resident memory of this process, in MiB."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
