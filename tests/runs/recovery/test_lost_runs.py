"""Runs of dead and suspended workers: no line is lost or duplicated, and the outcome is correct."""

import logging
import os
import threading
import zlib
from datetime import timedelta

import pytest
from celery.signals import worker_ready
from django.db import OperationalError, connection
from django.db.models.functions import Now

from apps.console.log.run_status import seal_html
from apps.runs import tasks
from apps.runs.execution.finalization import end_run
from apps.runs.execution.queue import queue_run
from apps.runs.log import shipper
from apps.runs.log.line_format import format_line
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.models import Level, LogEntry, Run, Step
from apps.runs.recovery.lost_runs import close_lost_runs, ship_leftover_spools
from tests.factories import make_run, make_service

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger("apps.services.anything")
THEN = "2026-11-23 07:15:09.000000+00"


@pytest.fixture(autouse=True)
def spool_dir(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture
def run():
    run = queue_run(make_service(retry_limit=1), trigger=Run.Trigger.MANUAL)
    run.claim("here:1")
    run.refresh_from_db()
    return run


def expire_lease(run):
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))


def spooled(run, *messages, first=1, level=Level.INFO, torn=b""):
    """Writes lines to the spool as a worker of this host did before it died."""
    spool = Spool(run.pk)
    spool.open()
    for sequence, message in enumerate(messages, first):
        spool.append(format_line(run.pk, sequence, THEN, level, Step.PULL, message))
    if torn:
        os.write(spool._descriptor, torn)
    spool.close()
    return spool


def lines(run):
    run.refresh_from_db()
    rows = LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("sequence", "message")
    assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
    assert run.line_count == len(rows)
    return [message for _, message in rows]


def close_elsewhere():
    """Closes lost runs in another thread, because this thread is bound to the run's log."""
    try:
        close_lost_runs(worker="here:2")
    finally:
        connection.close()


def test_incomplete_line_is_dropped_and_stored_lines_are_not_duplicated(run):
    with RunLog(run, run.lease_token):
        logger.warning("shipped")
    spooled(run, "only spooled", first=2, level=Level.ERROR, torn=b"1\t3\t2026-11")
    expire_lease(run)

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run)[:2] == ["shipped", "only spooled"]
    assert lines(run)[2].startswith("Run lost: its worker here:1 sent no heartbeat for too long")
    assert (run.status, run.is_complete, run.warning_count, run.error_count) == ("lost", True, 1, 2)
    assert (run.error, run.error_sequence) == ("only spooled", 2)
    assert run.retries.count() == 1
    assert spooled_runs() == []


def test_starting_worker_closes_lost_runs_of_its_host(run, monkeypatch):
    monkeypatch.setattr(tasks, "worker_name", lambda: "here:2")
    spooled(run, "only spooled")
    expire_lease(run)

    worker_ready.send(sender=None)

    assert lines(run)[0] == "only spooled"
    assert run.status == "lost"


def test_leftover_spools_wait_for_the_database(monkeypatch, caplog):
    def fail():
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.lost_runs, "ship_leftover_spools", fail)

    tasks.execute_run(run_id=0)

    assert "Spools of ended runs wait" in caplog.text


def test_worker_starts_without_database(monkeypatch, caplog):
    def fail(**_arguments):
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.lost_runs, "close_lost_runs", fail)

    tasks.close_runs_of_dead_workers()

    assert "Lost runs wait" in caplog.text


def test_checksum_includes_lines_added_on_closing(run):
    data = spooled(run, "one").path.read_bytes()
    expire_lease(run)

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    rest = LogEntry.objects.filter(run_id=run.pk, sequence__gt=1).order_by("sequence")
    for line in rest:
        moment = f"{line.logged_at:%Y-%m-%d %H:%M:%S.%f}+00"
        data += format_line(run.pk, line.sequence, moment, line.level, line.step, line.message)
    assert run.log_checksum == zlib.crc32(data)


def test_run_of_a_removed_host_says_that_captured_payloads_may_be_there(run):
    run.service.capture_on_failure = True
    run.service.save()
    Run.objects.filter(pk=run.pk).update(trigger=Run.Trigger.SCHEDULE)
    expire_lease(run)

    close_lost_runs(worker="there:1")

    run.refresh_from_db()
    reason = "its last lines and captured payloads may be on here"
    assert (run.status, run.is_complete) == (Run.Status.LOST, False)
    assert run.lost_reason.startswith(reason)
    assert f"The log may be incomplete. {reason}" in seal_html(run)


def test_run_closed_by_another_host_is_incomplete_until_its_lines_arrive(run):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    spool = Spool(run.pk).path.rename(Spool(run.pk).path.with_suffix(".away"))
    expire_lease(run)

    close_lost_runs(worker="there:1")

    assert [message[:8] for message in lines(run)] == ["shipped", "Run lost", "Retry 1 "]
    assert (run.is_complete, run.lost_line_count) == (False, 0)
    assert run.lost_reason == (
        "its last lines may be on here; they are added when a worker there starts or executes a run"
    )

    spool.rename(Spool(run.pk).path)
    spooled(run, "late one", "late two", first=2, level=Level.ERROR)
    ship_leftover_spools()
    ship_leftover_spools()

    assert lines(run)[3:] == [
        "2 lines arrived late from the worker and follow here",
        "late one",
        "late two",
    ]
    assert (run.is_complete, run.lost_reason, run.error_count) == (True, "", 3)
    assert (run.status, spooled_runs()) == ("lost", [])


def test_late_spool_without_new_lines_completes_the_log(run):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    spool = Spool(run.pk).path.rename(Spool(run.pk).path.with_suffix(".away"))
    expire_lease(run)
    close_lost_runs(worker="there:1")
    spool.rename(Spool(run.pk).path)

    ship_leftover_spools()

    assert len(lines(run)) == 3
    assert (run.is_complete, run.lost_reason, spooled_runs()) == (True, "", [])


def test_missing_spool_is_reported(run):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    Spool(run.pk).remove()
    expire_lease(run)

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    assert (run.status, run.is_complete, run.lost_reason) == (
        "lost",
        False,
        "the spool of its worker is missing",
    )


def test_resumed_worker_loses_no_line(run):
    with RunLog(run, run.lease_token) as log:
        logger.info("before the stop")
        expire_lease(run)
        closer = threading.Thread(target=close_elsewhere)
        closer.start()
        closer.join()
        run.refresh_from_db()
        assert run.status == "lost"
        assert spooled_runs() == [run.pk], "its writer still has the spool open"

        logger.info("after it woke up")
        with pytest.raises(LeaseLost):
            end_run(run, run.lease_token, log, Run.Status.SUCCEEDED)
    ship_leftover_spools()

    messages = lines(run)
    assert messages[0] == "before the stop"
    assert messages[1].startswith("Run lost")
    assert messages[3:] == [
        "1 line arrived late from the worker and follow here",
        "after it woke up",
    ]
    assert (run.status, run.is_complete, spooled_runs()) == ("succeeded", True, [])


def test_run_keeps_its_status_if_its_end_was_written_late(run, monkeypatch):
    def fail(*_arguments, **_columns):
        raise OperationalError("the database is away")

    monkeypatch.setattr(shipper, "MAX_TIME_WITHOUT_LEASE", 1.5)
    with RunLog(run, run.lease_token) as log, monkeypatch.context() as outage:
        outage.setattr(Run, "finish", fail)
        log.pulled_count = log.pushed_count = 7
        logger.info("done")
        with pytest.raises(LeaseLost):
            end_run(run, run.lease_token, log, Run.Status.SUCCEEDED)
    expire_lease(run)

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run) == [
        "done",
        "The end of the run was written late by here:2, because the database was unreachable",
    ]
    assert (run.status, run.pulled_count, run.pushed_count) == ("succeeded", 7, 7)
    assert (run.is_complete, run.error_count, run.retries.count()) == (True, 0, 0)
    assert list(Spool(run.pk).path.parent.iterdir()) == []


def test_recorded_end_corrects_lost_status_and_cancels_retry(run):
    spool = spooled(run, "Run succeeded")
    spool.record_end({"status": "succeeded", "may_retry": True, "counters": {"pulled_count": 3}})
    moved = [path.rename(path.with_name(path.name + ".away")) for path in spool.path.parent.iterdir()]
    expire_lease(run)
    close_lost_runs(worker="there:1")
    [retry] = run.retries.all()
    for path in moved:
        path.rename(path.with_name(path.name.removesuffix(".away")))

    ship_leftover_spools()

    retry.refresh_from_db()
    assert lines(run)[-1] == "Run succeeded"
    assert (run.status, run.pulled_count, retry.status) == ("succeeded", 3, "cancelled")


def test_spool_of_ended_run_is_removed(run):
    with RunLog(run, run.lease_token) as log:
        logger.info("done")
        log.remove_spool = lambda: None
        end_run(run, run.lease_token, log, Run.Status.SUCCEEDED)
    assert spooled_runs() == [run.pk]

    ship_leftover_spools()

    assert lines(run) == ["done"]
    assert list(Spool(run.pk).path.parent.iterdir()) == []


@pytest.mark.parametrize("has_tail", [False, True], ids=["short", "with a tail"])
def test_damaged_spool_is_renamed_and_its_run_closed(run, has_tail):
    Spool(run.pk).path.parent.mkdir(parents=True)
    Spool(run.pk).path.write_bytes(b"no line of a spool\n")
    if has_tail:
        Spool(run.pk).path.with_suffix(".tail-1").write_bytes(b"")
    expire_lease(run)

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run)[0].startswith("Run lost")
    assert (run.status, run.is_complete) == ("lost", False)
    assert run.lost_reason == "the spool on here is damaged and was renamed"
    assert Spool(run.pk).path.with_suffix(".unreadable").read_bytes() == b"no line of a spool\n"
    assert spooled_runs() == []


def test_unreadable_spool_folder_does_not_prevent_closing(run, settings, tmp_path):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    expire_lease(run)
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file"

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run)[0] == "shipped"
    assert (run.status, run.is_complete) == ("lost", False)
    assert run.lost_reason == "the spool on here cannot be read: Not a directory"


def test_spool_of_deleted_run_is_removed_and_logged(caplog):
    run = make_run()
    spooled(run, "one", "two")
    pk, _ = run.pk, run.delete()

    ship_leftover_spools()

    assert f"A spool of 2 lines belongs to run {pk}, which does not exist" in caplog.text
    assert spooled_runs() == []


def test_lost_reported_run_needs_no_spool():
    service = make_service(kind="reported", source_connection=None, destination_connection=None)
    run = make_run(service, status="running", worker="reporter cron", line_count=0)
    expire_lease(run)

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    assert (run.status, run.is_complete, run.line_count) == ("lost", True, 1)
