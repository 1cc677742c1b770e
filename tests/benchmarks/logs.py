"""Log lines: the logging call, the shipper, and both together."""

import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import batched, count

from django.db import connection, transaction

from apps.runs.log.context import bind_thread, unbind
from apps.runs.log.handler import RunLogHandler
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import Shipper
from apps.runs.log.spool import Spool
from apps.runs.models import LogEntry, Run
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare

LINES = 50_000
# Enough lines that start and end do not matter.
SUSTAINED_LINES = 200_000
BATCH_LINES = 1_000
ROUNDS = 5
SECRET = "a secret that is looked for"

logger = logging.getLogger("apps.services.connectors.http.pull")
_free_runs = count(1_000_000)


@benchmark("log_call_us", "µs")
def log_call() -> Figure:
    """One call of logger.info in a run, against a FileHandler with a formatter."""
    with tempfile.NamedTemporaryFile(suffix=".log") as file:
        plain = logging.FileHandler(file.name)
        plain.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        [usual_handler] = logging.getLogger().handlers

        def reference() -> float:
            with _handled_by(plain, instead_of=usual_handler):
                return _microseconds_per_call()

        figure = compare(measure_log_call, reference, rounds=15)
        plain.close()
        return figure


@benchmark("shipper_lines_per_s", "lines/s")
def shipper() -> Figure:
    """A complete spool into the table, against COPY or executemany of the same rows."""
    return compare(_ship_spool, insert_raw, rounds=ROUNDS)


@benchmark("log_end_to_end_lines_per_s", "lines/s")
def end_to_end() -> Figure:
    """From the first call of logger.info to the last line in the table and the seal, in one process.

    Logging and shipping share an interpreter, and so a core; the reference only inserts.
    """
    return compare(_log_and_seal, lambda: insert_raw(SUSTAINED_LINES), rounds=3)


def _microseconds_per_call() -> float:
    calls = 20_000
    before = time.perf_counter()
    for number in range(calls):
        logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")
    return (time.perf_counter() - before) / calls * 1e6


def measure_log_call(secrets: Iterable[str] = (SECRET,), spool_class: type[Spool] = Spool) -> float:
    """Microseconds per call of logger.info in a run."""
    spool = spool_class(next(_free_runs))
    spool.open()
    handler = RunLogHandler(1, spool, sequence=0, secrets=secrets)
    binding = bind_thread(handler)
    try:
        return _microseconds_per_call()
    finally:
        unbind(binding)
        spool.close()
        spool.remove()


@contextmanager
def _handled_by(handler: logging.Handler, *, instead_of: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    root.removeHandler(instead_of)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.addHandler(instead_of)


def claimed_run() -> tuple[Run, uuid.UUID]:
    run = factories.make_run(status=Run.Status.QUEUED)
    token = run.claim("benchmark")
    assert token is not None
    return run, token


def _ship_spool() -> float:
    run, token = claimed_run()
    spool = Spool(run.pk)
    spool.open()
    for line in _lines(run.pk):
        spool.append(line.encode())
    shipper = Shipper(run, token, spool, dict)

    def ship() -> None:
        shipper.start()
        shipper.finish()

    rate = _lines_per_second(ship, run.pk)
    spool.close()
    spool.remove()
    return rate


def _log_and_seal() -> float:
    run, token = claimed_run()

    def log_all() -> None:
        with RunLog(run, token, secrets=[SECRET]) as log:
            for number in range(SUSTAINED_LINES):
                logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")
            assert log.seal().is_complete
            log.remove_spool()

    return _lines_per_second(log_all, run.pk, SUSTAINED_LINES)


def insert_raw(lines: int = LINES) -> float:
    """Lines per second that the database inserts by COPY or executemany."""
    run_id = next(_free_runs)
    return _lines_per_second(raw_insert(run_id, lines), run_id, lines)


def raw_insert(run_id: int, lines: int, table: str = "runs_logentry") -> Callable[[], None]:
    """A function that inserts lines of a run by COPY or executemany, 1,000 per call."""
    insert = _copy if connection.vendor == "postgresql" else _executemany
    batches = [list(batch) for batch in batched(_lines(run_id, lines), BATCH_LINES)]
    return insert(batches, table)


def _copy(batches: list[list[str]], table: str) -> Callable[[], None]:
    texts = ["".join(batch) for batch in batches]

    def insert() -> None:
        with connection.cursor() as cursor:
            for text in texts:
                with cursor.copy(
                    f"COPY {table} (run_id, sequence, logged_at, level, step, message) FROM STDIN"
                ) as c:
                    c.write(text)

    return insert


def _executemany(batches: list[list[str]], table: str) -> Callable[[], None]:
    rows = [[tuple(line.rstrip("\n").split("\t")) for line in batch] for batch in batches]

    def insert() -> None:
        for batch in rows:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {table} (run_id, sequence, logged_at, level, step, message)"  # noqa: S608 - constant SQL
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    batch,
                )

    return insert


def _lines(run_id: int, lines: int = LINES) -> Iterator[str]:
    """Lines in the format of the spool."""
    for sequence in range(1, lines + 1):
        yield (
            f"{run_id}\t{sequence}\t2026-01-31 09:05:00.{sequence % 1_000_000:06d}+00\t20\t2\t"
            f"Pulled page {sequence}: 100 records from https://shop.example/orders\n"
        )


def _lines_per_second(work: Callable[[], None], run_id: int, count: int = LINES) -> float:
    before = time.perf_counter()
    work()
    seconds = time.perf_counter() - before
    lines = LogEntry.objects.filter(run_id=run_id)
    assert lines.count() == count
    lines.delete()
    return count / seconds
