"""Many concurrent runs of two workers: delay of the log lines, and memory per run."""

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
RUNS_PER_WORKER = 100
LINES_PER_SECOND = 50
# Services log a few lines after each request. Single lines would cost 10,000 wake-ups a second, more than all the rest.
BATCH_LINES = 5
SECONDS = 20
LINES = LINES_PER_SECOND * SECONDS
RUNS = WORKERS * RUNS_PER_WORKER

logger = logging.getLogger("apps.services.connectors.http.pull")


@benchmark("many_runs_late_s", "s", databases=["postgresql"], also={"many_runs_memory_mib": "MiB"})
def many_runs() -> dict[str, Figure]:
    """Largest delay of a line: 200 concurrent runs, 100 threads in each of two processes, 50 lines a second each.

    From the call of logger.info to the commit, which is polled 20 times a second. Memory is the growth of a process
    per run, after a first run.
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
        f"Delay of {len(delays):,} lines: median {delays[len(delays) // 2]:.2f} s, p99"
        f" {delays[int(len(delays) * 0.99)]:.2f} s, maximum {delays[-1]:.2f} s; the workers grew by"
        f" {', '.join(f'{mebibytes:.0f}' for mebibytes in growth)} MiB",
        file=sys.stderr,
    )
    return {
        "many_runs_late_s": Figure(delays[-1]),
        "many_runs_memory_mib": Figure(max(growth) / RUNS_PER_WORKER),
    }


def _work(runs: list[int], pipe: Connection) -> None:
    """Worker process: executes one run, then all others at once; sends its growth in MiB."""
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
    """Claims a run, logs its lines and ends it."""
    run = Run.objects.select_related("service").get(pk=run_id)
    token = run.claim("benchmark")
    assert token is not None
    with RunLog(run, token, secrets=["a secret that is looked for"]) as log:
        started = time.perf_counter()
        for number in range(lines):
            if number % BATCH_LINES == 0:
                time.sleep(max(0, started + number / LINES_PER_SECOND - time.perf_counter()))
            logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")
        end_run(run, token, log, Run.Status.SUCCEEDED)
    connection.close()


def _watch(runs: list[int]) -> dict[int, tuple[list[int], list[float]]]:
    """Line counts of each run and the times when they were first seen, until all runs have ended."""
    seen: dict[int, tuple[list[int], list[float]]] = defaultdict(lambda: ([0], [0.0]))
    until = time.monotonic() + SECONDS * 10
    while True:
        # The line count is written in the transaction of the lines.
        rows = list(Run.objects.filter(pk__in=runs).values_list("pk", "line_count", "status"))
        now = time.time()
        for run_id, line_count, _status in rows:
            counts, times = seen[run_id]
            if line_count > counts[-1]:
                counts.append(line_count)
                times.append(now)
        if all(status not in Run.OPEN for _run, _count, status in rows):
            return seen
        assert time.monotonic() < until, "The runs did not end in time."
        time.sleep(0.05)


def _delays(runs: list[int], seen: dict[int, tuple[list[int], list[float]]]) -> list[float]:
    """Delay of every line in seconds, ascending."""
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
