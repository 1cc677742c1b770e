"""What dead and stopped workers leave behind: nothing is lost, doubled, or told wrongly."""

import logging
import os
import threading
import zlib
from datetime import timedelta

import pytest
from celery.signals import worker_ready
from django.db import OperationalError, connection
from django.db.models.functions import Now

from apps.runs import tasks
from apps.runs.execution import finalization
from apps.runs.execution.finalization import end_run
from apps.runs.execution.queue import queue_run
from apps.runs.log import shipper
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.log.spool import Spool, format_line, spooled_runs
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


def lease_runs_out(run):
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))


def spooled(run, *messages, first=1, level=Level.INFO, torn=b""):
    """Lines that a worker of this host wrote before it died."""
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
    """In a thread, because this one expires in the run."""
    try:
        close_lost_runs(worker="here:2")
    finally:
        connection.close()


def test_a_torn_line_is_left_out_and_what_was_shipped_before_is_not_doubled(run):
    with RunLog(run, run.lease_token):
        logger.warning("shipped")
    spooled(run, "only spooled", first=2, level=Level.ERROR, torn=b"1\t3\t2026-11")
    lease_runs_out(run)

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run)[:2] == ["shipped", "only spooled"]
    assert lines(run)[2].startswith("Run lost: its worker here:1 sent no heartbeat for too long")
    assert (run.status, run.is_complete, run.warning_count, run.error_count) == ("lost", True, 1, 2)
    assert (run.error, run.error_sequence) == ("only spooled", 2)
    assert run.retries.count() == 1
    assert spooled_runs() == []


def test_a_worker_that_starts_takes_up_what_another_left(run, monkeypatch):
    monkeypatch.setattr(tasks, "worker_name", lambda: "here:2")
    spooled(run, "only spooled")
    lease_runs_out(run)

    worker_ready.send(sender=None)

    assert lines(run)[0] == "only spooled"
    assert run.status == "lost"


def test_a_worker_starts_also_where_the_database_is_away(monkeypatch, caplog):
    def away(**_arguments):
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.lost_runs, "close_lost_runs", away)

    tasks.close_runs_of_dead_workers()

    assert "Lost runs wait" in caplog.text


def test_the_checksum_covers_the_closing_lines_too(run):
    data = spooled(run, "one").path.read_bytes()
    lease_runs_out(run)

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    rest = LogEntry.objects.filter(run_id=run.pk, sequence__gt=1).order_by("sequence")
    for line in rest:
        moment = f"{line.logged_at:%Y-%m-%d %H:%M:%S.%f}+00"
        data += format_line(run.pk, line.sequence, moment, line.level, line.step, line.message)
    assert run.log_checksum == zlib.crc32(data)


def test_a_run_closed_elsewhere_admits_that_lines_may_be_missing_and_gets_them_later(run):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    kept = Spool(run.pk).path.rename(Spool(run.pk).path.with_suffix(".away"))
    lease_runs_out(run)

    close_lost_runs(worker="there:1")

    assert [message[:8] for message in lines(run)] == ["shipped", "Run lost", "Retry 1 "]
    assert (run.is_complete, run.lost_line_count) == (False, 0)
    assert run.lost_reason == "its last lines may be on here; they are added when a worker starts there"

    kept.rename(Spool(run.pk).path)
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


def test_a_spool_that_turns_up_with_nothing_new_completes_the_log(run):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    kept = Spool(run.pk).path.rename(Spool(run.pk).path.with_suffix(".away"))
    lease_runs_out(run)
    close_lost_runs(worker="there:1")
    kept.rename(Spool(run.pk).path)

    ship_leftover_spools()

    assert len(lines(run)) == 3
    assert (run.is_complete, run.lost_reason, spooled_runs()) == (True, "", [])


def test_a_spool_that_is_gone_is_said(run):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    Spool(run.pk).remove()
    lease_runs_out(run)

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    assert (run.status, run.is_complete, run.lost_reason) == (
        "lost",
        False,
        "the spool of its worker is missing",
    )


def test_a_worker_that_was_only_stopped_loses_no_line(run):
    with RunLog(run, run.lease_token) as log:
        logger.info("before the stop")
        lease_runs_out(run)
        closer = threading.Thread(target=close_elsewhere)
        closer.start()
        closer.join()
        run.refresh_from_db()
        assert run.status == "lost"
        assert spooled_runs() == [run.pk], "its writer still has it open"

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


def test_a_run_whose_end_could_not_be_written_keeps_its_true_status(run, monkeypatch):
    def away(*_arguments, **_columns):
        raise OperationalError("the database is away")

    monkeypatch.setattr(finalization, "finish_run", away)
    monkeypatch.setattr(shipper, "STOP_AFTER", 1.5)
    with RunLog(run, run.lease_token) as log:
        log.pulled_count = log.pushed_count = 7
        logger.info("done")
        with pytest.raises(LeaseLost):
            end_run(run, run.lease_token, log, Run.Status.SUCCEEDED)
    lease_runs_out(run)

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run) == [
        "done",
        "The end of the run was written late by here:2, because the database had been away",
    ]
    assert (run.status, run.pulled_count, run.pushed_count) == ("succeeded", 7, 7)
    assert (run.is_complete, run.error_count, run.retries.count()) == (True, 0, 0)
    assert list(Spool(run.pk).path.parent.iterdir()) == []


def test_a_run_closed_as_lost_elsewhere_gets_its_true_status_and_no_retry(run):
    spool = spooled(run, "Run succeeded")
    spool.record_end({"status": "succeeded", "may_retry": True, "counters": {"pulled_count": 3}})
    moved = [path.rename(path.with_name(path.name + ".away")) for path in spool.path.parent.iterdir()]
    lease_runs_out(run)
    close_lost_runs(worker="there:1")
    [retry] = run.retries.all()
    for path in moved:
        path.rename(path.with_name(path.name.removesuffix(".away")))

    ship_leftover_spools()

    retry.refresh_from_db()
    assert lines(run)[-1] == "Run succeeded"
    assert (run.status, run.pulled_count, retry.status) == ("succeeded", 3, "cancelled")


def test_a_worker_that_died_between_the_end_and_the_tidying_leaves_nothing(run):
    with RunLog(run, run.lease_token) as log:
        logger.info("done")
        log.remove_spool = lambda: None
        end_run(run, run.lease_token, log, Run.Status.SUCCEEDED)
    assert spooled_runs() == [run.pk]

    ship_leftover_spools()

    assert lines(run) == ["done"]
    assert list(Spool(run.pk).path.parent.iterdir()) == []


@pytest.mark.parametrize("outgrown", [False, True], ids=["short", "with a tail"])
def test_a_damaged_spool_is_set_aside_and_its_run_is_closed(run, outgrown):
    Spool(run.pk).path.parent.mkdir(parents=True)
    Spool(run.pk).path.write_bytes(b"no line of a spool\n")
    if outgrown:
        Spool(run.pk).path.with_suffix(".tail-1").write_bytes(b"")
    lease_runs_out(run)

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run)[0].startswith("Run lost")
    assert (run.status, run.is_complete) == ("lost", False)
    assert run.lost_reason == "the spool on here is damaged and was renamed"
    assert Spool(run.pk).path.with_suffix(".unreadable").read_bytes() == b"no line of a spool\n"
    assert spooled_runs() == []


def test_a_spool_folder_that_cannot_be_read_keeps_no_run_open(run, settings, tmp_path):
    with RunLog(run, run.lease_token):
        logger.info("shipped")
    lease_runs_out(run)
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file"

    assert close_lost_runs(worker="here:2") == 1

    assert lines(run)[0] == "shipped"
    assert (run.status, run.is_complete) == ("lost", False)
    assert run.lost_reason == "the spool on here cannot be read: Not a directory"


def test_the_spool_of_a_run_that_is_no_more_goes_not_without_a_word(caplog):
    run = make_run()
    spooled(run, "one", "two")
    pk, _ = run.pk, run.delete()

    ship_leftover_spools()

    assert f"A spool of 2 lines belongs to run {pk}, which does not exist" in caplog.text
    assert spooled_runs() == []


def test_a_reported_run_that_fell_silent_wants_no_spool():
    service = make_service(kind="reported", source_connection=None, destination_connection=None)
    run = make_run(service, status="running", worker="reporter cron", line_count=0)
    lease_runs_out(run)

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    assert (run.status, run.is_complete, run.line_count) == ("lost", True, 1)
