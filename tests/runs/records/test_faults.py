"""Outcomes of records through faults: none doubled, none lost silently, no accepted record shown as not sent."""

import errno
import os
import signal
import threading
import time
import warnings
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from apps.runs.execution import pipeline, supervision
from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.log import record_file, run_log, shipper
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.models import LogEntry, Record, Run
from apps.runs.records.tracking import OUTCOME_UNKNOWN, RecordTracker
from apps.runs.recovery.lost_runs import close_lost_runs, ship_leftover_spools
from apps.services.connectors.files import local_folder
from apps.services.sandbox.process import Sandbox
from tests.factories import make_connection
from tests.runs.log.outages import break_shipping
from tests.stack import wait_until
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]

SCRIPT = "def transform(records):\n    return [r for r in records if r['id'] != 2]\n"


@pytest.fixture
def world():
    with systems([{"id": number} for number in range(1, 26)]) as world:
        yield world


def make_service(world, **fields):
    """A service that pushes each page of ten records in batches of 4, 4 and 2."""
    options = {"path": "/stock", "batch_size": 4}
    return service_between(world, **{"destination_options": options, "max_attempts": 1, **fields})


def execute(service, **arguments):
    run = queue_run(service, trigger=Run.Trigger.MANUAL, **arguments)
    execute_run(run.pk, worker="here:1")
    run.refresh_from_db()
    return run


def execute_and_die(service):
    """Executes a run in a process that must kill itself."""
    run = queue_run(service, trigger=Run.Trigger.MANUAL)
    connection.close()
    with warnings.catch_warnings():
        # The threads of the test hold no lock that the child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if not process:
        try:
            execute_run(run.pk, worker="here:1")
        finally:
            os._exit(1)
    _process, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return run


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def on_delivery(monkeypatch, number, act, *, is_written=False):
    """Calls `act` after the destination has accepted a batch, before or after its outcome is written."""
    deliver = RecordTracker.deliver
    count = 0

    def counted(self, delivery):
        nonlocal count
        count += 1
        if count == number and not is_written:
            act()
        deliver(self, delivery)
        if count == number and is_written:
            act()

    monkeypatch.setattr(RecordTracker, "deliver", counted)


def close(run, worker="here:2"):
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
    close_lost_runs(worker=worker)
    run.refresh_from_db()


def outcomes(run):
    """Numbers of the records by outcome."""
    found = {}
    for record in Record.objects.filter(run=run):
        found.setdefault(Record.Outcome(record.outcome).slug, []).append(int(record.key))
    return {outcome: sorted(numbers) for outcome, numbers in found.items()}


def numbers(first, last):
    return list(range(first, last + 1))


def line_of(run, number):
    record = Record.objects.get(run=run, key=str(number))
    return LogEntry.objects.get(run_id=run.pk, sequence=record.sequence).message


def test_killed_worker_leaves_unknown_what_it_had_sent(world, monkeypatch):
    on_delivery(monkeypatch, 2, die)

    run = execute_and_die(make_service(world))
    close(run)
    ship_leftover_spools()

    assert outcomes(run) == {"pushed": numbers(1, 4), "pulled": numbers(5, 10)}
    assert Record.objects.get(run=run, key="5").message == OUTCOME_UNKNOWN
    assert line_of(run, 5).startswith("Run lost")
    assert line_of(run, 4).endswith("4 records accepted")
    assert (run.status, run.is_complete, run.has_records, spooled_runs()) == ("lost", True, True, [])


def test_worker_killed_during_the_script_pushed_nothing_of_the_page(world, monkeypatch):
    on_delivery(monkeypatch, 3, lambda: monkeypatch.setattr(Sandbox, "transform", lambda *_: die()))

    run = execute_and_die(make_service(world, script=SCRIPT))
    close(run)

    assert outcomes(run) == {
        "dropped": [2],
        "pushed": [1, *numbers(3, 10)],
        "failed": numbers(11, 20),
    }


def test_suspended_worker_may_still_push(world, monkeypatch):
    """Its run is closed while it hangs; what it pushes afterwards is not shown as failed."""
    closed = []

    def close_elsewhere(*_arguments):
        run = Run.objects.get()
        close(run)
        closed.append(outcomes(run))
        raise shipper.LeaseLost

    monkeypatch.setattr(Sandbox, "transform", close_elsewhere)

    run = execute(make_service(world, script=SCRIPT))

    assert closed == [{"pulled": numbers(1, 10)}]
    ship_leftover_spools()
    assert outcomes(run) == {"failed": numbers(1, 10)}, "the process has ended without a push"


@pytest.mark.parametrize("is_committed", [False, True], ids=["not committed", "committed"])
def test_repeated_shipping_after_an_outage_doubles_nothing(world, monkeypatch, is_committed):
    failures = break_shipping(monkeypatch, is_committed=is_committed)

    run = execute(make_service(world))

    # One committed batch may hold everything.
    assert len(failures) >= 1 if is_committed else len(failures) == 3
    assert outcomes(run) == {"pushed": numbers(1, 25)}
    assert (run.status, run.is_complete) == ("succeeded", True)


def test_run_waits_for_the_database_that_it_reads_from(world, monkeypatch):
    skips = {"path": "/stock", "batch_size": 4, "skip_unchanged": True}
    service = make_service(world, destination_options=skips)
    execute(service)
    monkeypatch.setattr(run_log, "RETRY_INTERVAL", 0.05)
    read_from_database = run_log.RunLog.read_from_database
    failures = []

    def read_and_fail(self, read):
        def attempt():
            if len(failures) < 3:
                failures.append(read)
                raise OperationalError("connection lost")
            return read()

        return read_from_database(self, attempt)

    monkeypatch.setattr(run_log.RunLog, "read_from_database", read_and_fail)

    run = execute(service)

    assert len(failures) == 3
    assert (run.status, outcomes(run)) == ("succeeded", {"skipped": numbers(1, 25)})


def test_records_that_arrive_late_name_the_renumbered_lines(world, monkeypatch):
    write_lines = shipper.write_lines
    is_stalled = threading.Event()

    def stall(chunk):
        if is_stalled.is_set():
            time.sleep(60)
        write_lines(chunk)

    def stall_lines_after_records():
        wait_until(lambda: Record.objects.filter(key="5").exists())
        is_stalled.set()

    monkeypatch.setattr(shipper, "write_lines", stall)
    on_delivery(monkeypatch, 2, stall_lines_after_records, is_written=True)
    on_delivery(monkeypatch, 3, die, is_written=True)
    run = execute_and_die(make_service(world))
    monkeypatch.undo()
    away = [path.rename(path.with_name(f"{path.name}.away")) for path in Spool(run.pk).path.parent.iterdir()]
    close(run, worker="there:1")
    assert (outcomes(run), run.is_complete) == ({"pushed": numbers(1, 8)}, False)
    for path in away:
        path.rename(path.with_suffix(""))

    ship_leftover_spools()
    ship_leftover_spools()

    run.refresh_from_db()
    assert outcomes(run) == {"pushed": numbers(1, 10)}
    assert (run.is_complete, run.lost_reason) == (True, "")
    assert [line_of(run, number).rpartition(", ")[2] for number in (4, 5)] == ["4 records accepted"] * 2
    # The worker died before it wrote the line.
    assert ": 201 Created, " in line_of(run, 9)


@pytest.fixture
def full_disk(monkeypatch):
    """From the time it is set, no record file can be written."""
    is_full = threading.Event()
    append_whole = record_file.append_whole

    def append(*arguments):
        if is_full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        append_whole(*arguments)

    monkeypatch.setattr(record_file, "append_whole", append)
    return is_full


@pytest.mark.parametrize("room_at", [4, 100], ids=["disk has room again", "disk stays full"])
def test_outcomes_reach_the_database_from_memory(world, full_disk, monkeypatch, room_at):
    on_delivery(monkeypatch, 2, full_disk.set)
    on_delivery(monkeypatch, room_at, full_disk.clear)

    run = execute(make_service(world, script=SCRIPT))

    assert outcomes(run) == {"dropped": [2], "pushed": [1, *numbers(3, 25)]}
    assert (run.status, run.is_complete) == ("succeeded", True)


def test_run_says_that_a_full_disk_took_outcomes(world, full_disk, monkeypatch):
    monkeypatch.setattr(shipper, "SHIP_INTERVAL", 60)
    on_delivery(monkeypatch, 3, full_disk.set)
    on_delivery(monkeypatch, 5, die, is_written=True)

    run = execute_and_die(make_service(world, script=SCRIPT))
    close(run)

    assert outcomes(run) == {"dropped": [2], "pushed": [1, *numbers(3, 9)], "pulled": [10]}
    assert (run.status, run.is_complete, run.lost_line_count) == ("lost", False, 0)
    assert run.lost_reason == "the disk did not take the outcomes of all records"


@pytest.mark.parametrize(
    ("damage", "is_late"),
    [(b"garbage\n", True), (b"?1\n", False), (b"?1\t9\tkey\n", False), (b"1\t2\n\xff\0\t\n", False)],
)
def test_damaged_record_file_costs_no_line(world, monkeypatch, damage, is_late):
    on_delivery(monkeypatch, 2, die)
    run = execute_and_die(make_service(world))
    spool = Spool(run.pk).path
    records = spool.with_suffix(".records")
    records.write_bytes(records.read_bytes() + damage)
    if is_late:
        spool.rename(spool.with_suffix(".away"))
        close(run, worker="there:1")
        spool.with_suffix(".away").rename(spool)

    ship_leftover_spools() if is_late else close(run)

    run.refresh_from_db()
    messages = list(LogEntry.objects.filter(run_id=run.pk).values_list("message", flat=True))
    assert sum(message.endswith("4 records accepted") for message in messages) == 1
    assert (run.status, run.is_complete, run.lost_reason) == ("lost", False, "the record file is damaged")
    assert records.with_suffix(".unreadable-records").read_bytes().endswith(damage)
    assert spooled_runs() == []


def test_log_beyond_its_limit_has_all_records(world, settings):
    settings.MAX_LOG_LINES = 12

    run = execute(make_service(world, destination_options={"path": "/stock", "batch_size": 1}))

    assert outcomes(run) == {"pushed": numbers(1, 25)}
    assert run.omitted_line_count
    assert all(line_of(run, number) for number in numbers(1, 25))


@pytest.mark.parametrize(
    ("hang", "expected"),
    [
        ("destination", {"pushed": numbers(1, 4), "pulled": numbers(5, 8), "failed": [9, 10]}),
        ("payload store", {"pushed": numbers(1, 8), "failed": [9, 10]}),
    ],
)
def test_cancelled_run_tells_what_may_have_arrived(world, monkeypatch, hang, expected):
    monkeypatch.setattr(shipper, "HEARTBEAT_INTERVAL", 0.1)
    is_over = threading.Event()
    store_payload = pipeline.store_payload

    def cancel_and_hang():
        Run.objects.get().request_cancel()
        connection.close()
        is_over.wait(60)

    def respond(body):
        if hang == "destination" and b'"id": 5}' in body:
            cancel_and_hang()

    def store(run, **what):
        if hang == "payload store" and "batch-00002" in what["name"]:
            cancel_and_hang()
        return store_payload(run, **what)

    world.before_response = respond
    monkeypatch.setattr(pipeline, "store_payload", store)

    run = execute(make_service(world), store=["push"])
    is_over.set()
    for thread in threading.enumerate():
        # The abandoned operation, which still writes.
        if thread.name == supervision.THREAD_NAME:
            thread.join(60)

    assert (run.status, outcomes(run)) == ("cancelled", expected)
    assert Record.objects.get(run=run, key="9").message == "Cancelled by request"
    assert line_of(run, 9) == "Cancelled by request"


def test_attempt_without_a_response_may_have_been_accepted(world):
    """Although the destination refuses to repeat it."""
    both = make_connection(url=world.url, read_timeout=0.3)
    attempts = []

    def respond(body):
        attempts.append(body)
        if len(attempts) == 1:
            time.sleep(0.6)
            return None
        return 500

    world.before_response = respond

    run = execute(make_service(world, destination_connection=both, max_attempts=2))

    assert run.status == "failed"
    assert outcomes(run) == {"pulled": numbers(1, 4), "failed": numbers(5, 10)}


@pytest.mark.parametrize("is_renamed", [False, True], ids=["not written", "perhaps written"])
def test_records_in_a_file_that_may_be_written_are_unknown(
    world, settings, tmp_path, monkeypatch, is_renamed
):
    settings.FILE_ROOTS = [tmp_path]
    drop = make_connection(kind="file", url=f"file://{tmp_path}")
    calls = []

    def fail(descriptor):
        calls.append(descriptor)
        if len(calls) == (2 if is_renamed else 1):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(local_folder.os, "fsync", fail)
    options = {"path": "out/{run}.json", "format": "json"}

    run = execute(make_service(world, destination_connection=drop, destination_options=options))

    assert run.status == "failed"
    assert outcomes(run) == {"pulled" if is_renamed else "failed": numbers(1, 25)}


def test_page_that_the_script_drops_hides_no_earlier_page(world, settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path]
    drop = make_connection(kind="file", url=f"file://{tmp_path}")
    script = "def transform(records):\n    return [r for r in records if r['id'] <= 10 or r['id'] > 20]\n"
    options = {"path": "out/{run}.json", "format": "json"}

    run = execute(
        make_service(world, destination_connection=drop, destination_options=options, script=script)
    )

    assert outcomes(run) == {"pushed": [*numbers(1, 10), *numbers(21, 25)], "dropped": numbers(11, 20)}
