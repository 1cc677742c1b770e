"""Run policies of services: overlap, automatic retries, and the pause after consecutive failures."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from apps.runs import tasks
from apps.runs.execution.executor import execute_run
from apps.runs.execution.finalization import end_run, plan_follow_up, retry_pause
from apps.runs.execution.queue import queue_due_runs, queue_run, release_waiting_runs, resend_unclaimed_runs
from apps.runs.log.run_log import RunLog
from apps.runs.models import HousekeepingJob, LogEntry, Run
from apps.runs.recovery.lost_runs import close_lost_runs
from apps.services.models import Service
from tests.factories import make_run, make_service, make_user

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SCHEDULED_TIME = NOON + timedelta(minutes=15)


@pytest.fixture(autouse=True)
def spool_dir(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"


def scheduled(**fields):
    service = make_service(schedule="*/15 * * * *", **fields)
    service.plan_next_run(NOON)
    service.save()
    return service


def scheduled_run(service, minutes=15):
    return Run.objects.create(
        service=service, trigger=Run.Trigger.SCHEDULE, scheduled_for=NOON + timedelta(minutes=minutes)
    )


def end(run, status, **arguments):
    """Claims the run, ends it with the status, and returns it."""
    token = run.claim("worker")
    assert token is not None
    run.refresh_from_db()
    with RunLog(run, token) as log:
        end_run(run, token, log, status, **arguments)
    run.refresh_from_db()
    return run


def lines(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("message", flat=True))


def test_skip_policy_skips_and_logs_scheduled_run_while_a_run_is_open(caplog, monkeypatch):
    service = scheduled(overlap="skip")
    make_run(service, status=Run.Status.RUNNING)
    monkeypatch.setattr(tasks, "database_now", lambda: SCHEDULED_TIME)

    tasks.queue_due_runs()

    service.refresh_from_db()
    assert Run.objects.count() == 1
    assert service.next_run_at == NOON + timedelta(minutes=30)
    assert HousekeepingJob.objects.get(name="queue_due_runs").outcome == {"queued": 0, "skipped": 1}
    assert f"{service.slug} skips its scheduled time 2026-11-23 12:15" in caplog.text


def test_skip_policy_queues_run_without_open_run():
    service = scheduled(overlap="skip")
    make_run(service)

    assert len(queue_due_runs(SCHEDULED_TIME).queued) == 1


def test_second_scheduler_does_not_skip_a_queued_run():
    service = scheduled(overlap="skip")

    first = queue_due_runs(SCHEDULED_TIME)
    Service.objects.filter(pk=service.pk).update(next_run_at=SCHEDULED_TIME)
    second = queue_due_runs(SCHEDULED_TIME)

    assert (len(first.queued), second.queued, second.skipped_count) == (1, [], 0)


def test_service_with_invalid_schedule_does_not_delay_others(caplog):
    broken, healthy = scheduled(), scheduled()
    Service.objects.filter(pk=broken.pk).update(timezone="Nowhere/At-all")

    result = queue_due_runs(SCHEDULED_TIME)

    assert [run.service for run in result.queued] == [healthy]
    assert f"the run of service {broken.slug} could not be queued" in caplog.text


@pytest.mark.parametrize(("overlap", "may_start"), [("queue", False), ("allow", True)])
def test_scheduled_run_waits_for_open_run_unless_overlap_is_allowed(overlap, may_start):
    service = scheduled(overlap=overlap)
    running = make_run(service, status=Run.Status.RUNNING)
    [run] = queue_due_runs(SCHEDULED_TIME).queued

    assert (run.claim("worker") is not None) is may_start
    if not may_start:
        Run.objects.filter(pk=run.pk).update(sent_at=Now() - timedelta(hours=1))
        assert (resend_unclaimed_runs(), release_waiting_runs()) == ([], [])
        assert running.finish(running.lease_token, Run.Status.SUCCEEDED)
        assert release_waiting_runs() == [run.pk]
        assert release_waiting_runs() == []
        assert run.claim("worker") is not None


def test_manual_run_does_not_wait_for_open_run():
    service = scheduled(overlap="queue")
    make_run(service, status=Run.Status.RUNNING)

    assert queue_run(service, trigger=Run.Trigger.MANUAL).claim("worker") is not None


def test_only_one_waiting_run_can_be_claimed_concurrently():
    service = scheduled(overlap="queue")
    waiting = [scheduled_run(service, minutes) for minutes in range(0, 60, 15)]
    claimed, barrier = [], threading.Barrier(len(waiting))

    def claim(run):
        barrier.wait()
        try:
            claimed.append(run.claim("worker"))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(run,)) for run in waiting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([token for token in claimed if token]) == 1
    assert Run.objects.running().count() == 1


@pytest.mark.parametrize("status", ["failed", "lost"])
def test_failed_run_gets_one_retry_with_the_same_options(status):
    service = make_service(retry_limit=2)
    run = queue_run(
        service,
        trigger=Run.Trigger.MANUAL,
        user=make_user(),
        store=["pull", "push"],
        options={"page_size": "50"},
    )

    end(run, status)

    [retry] = run.retries.all()
    assert (retry.trigger, retry.attempt, retry.status) == ("retry", 2, "queued")
    assert (retry.stores, retry.options) == (("pull", "push"), {"page_size": 50})
    assert timedelta(seconds=50) < retry.due_at - timezone.now() < timedelta(seconds=70)
    assert lines(run)[-1] == "Retry 1 of 2 in 60 s"
    assert retry.claim("worker") is None, "the retry is not due"


def test_due_retry_is_released_once():
    run = end(queue_run(make_service(retry_limit=1), trigger=Run.Trigger.API), "failed")
    [retry] = run.retries.all()
    assert (release_waiting_runs(), resend_unclaimed_runs()) == ([], [])
    Run.objects.filter(pk=retry.pk).update(
        due_at=Now() - timedelta(seconds=1), sent_at=Now() - timedelta(seconds=59)
    )

    assert (release_waiting_runs(), release_waiting_runs()) == ([retry.pk], [])
    assert retry.claim("worker") is not None


def test_last_retry_gets_no_retry():
    run = queue_run(make_service(retry_limit=1), trigger=Run.Trigger.MANUAL)
    Run.objects.filter(pk=run.pk).update(attempt=2)
    run.refresh_from_db()

    assert end(run, "failed").retries.count() == 0


@pytest.mark.parametrize(
    ("fields", "status", "arguments"),
    [
        ({}, "succeeded", {}),
        ({}, "cancelled", {}),
        ({"is_dry_run": True}, "failed", {}),
        ({}, "failed", {"may_retry": False}),
        ({"cancel_requested_at": NOON}, "lost", {}),
    ],
)
def test_run_without_reason_to_retry_gets_no_retry(fields, status, arguments):
    run = Run.objects.create(service=make_service(retry_limit=3), trigger="manual", **fields)

    assert end(run, status, **arguments).retries.count() == 0


def test_service_without_retry_limit_gets_no_retry():
    assert end(queue_run(make_service(), trigger=Run.Trigger.MANUAL), "failed").retries.count() == 0


def test_concurrent_closing_of_lost_run_creates_one_retry():
    run = queue_run(make_service(retry_limit=3), trigger=Run.Trigger.MANUAL)
    run.claim("dead")
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))

    def close():
        try:
            close_lost_runs(worker="sweeper")
        finally:
            connection.close()

    threads = [threading.Thread(target=close) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    run.refresh_from_db()
    assert (run.status, run.retries.count()) == ("lost", 1)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 60), (2, 120), (3, 240), (7, 3600), (20, 3600)])
def test_retry_pause_doubles_up_to_an_hour(attempt, seconds):
    assert retry_pause(attempt) == timedelta(seconds=seconds)


def test_consecutive_failures_turn_the_schedule_off():
    service = scheduled(pause_after_failures=2, retry_limit=5)
    make_run(service, status="succeeded")
    make_run(service, status="failed", is_dry_run=True)
    first = end(scheduled_run(service, 15), "failed")
    service.refresh_from_db()
    assert service.is_active
    assert first.retries.count() == 1
    make_run(service, status="cancelled")

    last = end(scheduled_run(service, 30), "lost")

    service.refresh_from_db()
    assert (service.is_active, service.paused_at is not None) == (False, True)
    assert lines(last)[-1].startswith("Schedule paused after 2 consecutive failures.")
    assert last.retries.count() == 0, "a paused service gets no retries"


def test_success_resets_the_failure_count():
    service = scheduled(pause_after_failures=2)
    for status in ("failed", "succeeded"):
        make_run(service, status=status)

    assert plan_follow_up(scheduled_run(service), Run.Status.FAILED).pauses_schedule is False


def test_turning_schedule_on_ends_the_pause():
    service = scheduled(is_active=False, paused_at=NOON)

    service.set_active(True, NOON)

    service.refresh_from_db()
    assert (service.is_active, service.paused_at) == (True, None)


def test_executing_missing_run_logs_an_error(caplog):
    assert execute_run(10**9, worker="worker") is None
    assert "Run 1000000000 cannot be executed: not found" in caplog.text


def test_unreachable_database_at_claim_leaves_run_queued(caplog, monkeypatch):
    run = queue_run(make_service(), trigger=Run.Trigger.MANUAL)

    def fail(*_arguments):
        raise OperationalError("connection refused")

    monkeypatch.setattr(Run, "claim", fail)

    assert execute_run(run.pk, worker="worker") is None
    run.refresh_from_db()
    assert run.status == "queued"
    assert "the database is unreachable (OperationalError)" in caplog.text


def test_unwritable_spool_fails_the_run_with_a_message(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file" / "spool"
    run = queue_run(make_service(), trigger=Run.Trigger.MANUAL)

    ended = execute_run(run.pk, worker="here:1")

    assert (ended.status, ended.is_complete, ended.error_sequence) == ("failed", True, 1)
    assert ended.error == "The log spool on here:1 cannot be written: Not a directory"
    assert lines(run) == [ended.error]
