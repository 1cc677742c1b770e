"""What a start costs: CPU time of a command, and memory of everything that `make run` starts."""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from tests.benchmarks.harness import Figure, benchmark
from tests.memory import children_of
from tests.servers.base import free_ports

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
START_SECONDS = 120
# The first runs have ended by then, and each periodic task that runs every 30 seconds has run.
REST_SECONDS = 35


@benchmark("help_s", "s", databases=["sqlite"])
def help_command() -> Figure:
    """CPU seconds of `manage.py help`, median."""
    return Figure(statistics.median(_cpu_seconds("help") for _round in range(ROUNDS)))


def _cpu_seconds(command: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "manage.py", command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@benchmark("demo_memory_mib", "MiB", databases=["sqlite"])
def demo_memory() -> Figure:
    """Memory of all processes of `make run` at rest; what they share counts once."""
    with _demo() as pid:
        time.sleep(REST_SECONDS)
        return Figure(sum(_proportional_mib(process) for process in _with_descendants(pid)))


@contextmanager
def _demo() -> Iterator[int]:
    """Process ID of a demo with a database of its own."""
    (port,) = free_ports(1)
    environment = os.environ | {"SYNCLOG_DATA_DIR": str(settings.DATA_DIR / "demo"), "PORT": str(port)}
    del environment["DATABASE_URL"]
    command = [sys.executable, "manage.py", "run_demo"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            until = time.monotonic() + START_SECONDS
            while "is running" not in (line := process.stdout.readline()):
                assert line, "The demo ended."
                assert time.monotonic() < until, "The demo does not start."
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=START_SECONDS)


def _with_descendants(pid: int) -> Iterator[int]:
    yield pid
    for child in children_of(pid):
        yield from _with_descendants(child)


def _proportional_mib(pid: int) -> float:
    """Memory of a process; of pages that several share, its part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE))) / 1024
