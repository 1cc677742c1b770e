"""Deletion of old runs and their logs."""

import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.runs.models import LogEntry, Payload, Record, Run, RunProblem
from apps.runs.recovery import record_retention, retention
from apps.runs.recovery.record_retention import delete_records
from apps.runs.recovery.retention import prune_logs
from tests.factories import (
    make_log_entries,
    make_payload,
    make_record,
    make_run,
    make_run_problem,
    make_service,
)

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


@pytest.fixture
def old(monkeypatch):
    monkeypatch.setattr(retention, "LINES_AT_ONCE", 2)
    began = timezone.now() - timedelta(days=31)
    run = make_run(make_service(), started_at=began, finished_at=began, trigger=Run.Trigger.SCHEDULE)
    make_log_entries(run, 5)
    return run


def test_only_old_ended_runs_are_deleted_with_their_lines(old):
    recent = make_run(old.service)
    make_log_entries(recent, 3)
    still_running = make_run(old.service, status="running", started_at=old.started_at)
    for run in (old, recent):
        make_run_problem(run)

    pruning = prune_logs(MONTH)

    assert (pruning.runs, pruning.lines) == (1, 5)
    assert list(RunProblem.objects.values_list("run", flat=True)) == [recent.pk]
    assert set(Run.objects.all()) == {recent, still_running}
    assert LogEntry.objects.count() == 3


def test_run_with_stored_object_is_not_deleted(old):
    payload = make_payload(old)

    assert prune_logs(MONTH).runs == 0

    Payload.objects.filter(pk=payload.pk).update(status="deleted", deleted_at=timezone.now())
    assert prune_logs(MONTH).runs == 1
    assert Payload.objects.count() == 0


def test_retried_run_can_be_deleted_before_its_retry(old):
    retry = make_run(old.service, retry_of=old, trigger="retry")

    prune_logs(MONTH)

    retry.refresh_from_db()
    assert retry.retry_of is None


def test_dry_run_reports_and_deletes_nothing(old, capsys):
    call_command("prune_logs", "--dry-run")

    assert capsys.readouterr().out == "1 runs and 5 log lines would be deleted.\n"
    assert Run.objects.count() == 1


def test_log_retention_of_service_overrides_default(old):
    day = timedelta(days=1)
    long, short = make_service(log_retention_days=60), make_service(log_retention_days=2)
    began = timezone.now() - 3 * day
    kept = make_run(long, started_at=old.started_at, finished_at=old.finished_at)
    too_old = make_run(long, started_at=began - 60 * day, finished_at=began - 60 * day)
    expired = make_run(short, started_at=began, finished_at=began)
    fresh = make_run(short, started_at=began + 2 * day, finished_at=began + 2 * day)

    assert prune_logs(MONTH, dry_run=True).runs == 3
    assert prune_logs(MONTH).runs == 3

    assert set(Run.objects.all()) == {kept, fresh}
    assert not {old, too_old, expired} & set(Run.objects.all())


def test_held_run_is_deleted_after_its_hold(old):
    Run.objects.filter(pk=old.pk).update(held_until=timezone.now() + timedelta(minutes=1))

    assert prune_logs(MONTH, dry_run=True).runs == 0
    assert prune_logs(MONTH).runs == 0
    assert LogEntry.objects.count() == 5

    Run.objects.filter(pk=old.pk).update(held_until=timezone.now() - timedelta(minutes=1))
    assert prune_logs(MONTH).runs == 1


def test_hold_during_deletion_keeps_remaining_lines(old, monkeypatch):
    def hold_in_the_pause(_seconds):
        Run.objects.update(held_until=timezone.now() + timedelta(days=1))

    monkeypatch.setattr(time, "sleep", hold_in_the_pause)

    assert prune_logs(MONTH) == retention.Pruning(runs=0, lines=2)
    assert LogEntry.objects.count() == 3


def test_run_cancelled_before_its_start_is_deleted(old):
    make_run(old.service, status="cancelled", started_at=None, finished_at=old.finished_at)

    assert prune_logs(MONTH).runs == 2


def test_many_small_runs_are_deleted_together(old, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr(retention, "LINES_AT_ONCE", 20_000)
    for _ in range(20):
        times = {"started_at": old.started_at, "finished_at": old.finished_at}
        make_log_entries(make_run(old.service, trigger=Run.Trigger.SCHEDULE, **times))

    with django_assert_max_num_queries(31):
        pruning = prune_logs(MONTH)

    assert (pruning.runs, pruning.lines) == (21, 65)


def test_long_run_takes_a_constant_query_count_per_batch(old, django_assert_num_queries):
    # 3 batches of SAVEPOINT, lock, DELETE and RELEASE; 21 for services, run, records, bounds and reads.
    with django_assert_num_queries(33):
        assert prune_logs(MONTH).lines == 5


def test_pruning_continues_with_the_next_task(old):
    make_run(old.service, started_at=old.started_at, finished_at=old.finished_at, line_count=5)

    assert prune_logs(MONTH, max_seconds=-1).runs == 1
    assert prune_logs(MONTH, max_seconds=-1).runs == 1
    assert not Run.objects.exists()


@pytest.mark.parametrize("at_once", [1, 3, 4, 100])
def test_records_are_deleted_in_parts(monkeypatch, at_once):
    """Also those of a line that has more records than are deleted at once."""
    monkeypatch.setattr(record_retention, "RECORDS_AT_ONCE", at_once)
    lines = ([1, 1, 2], [1, *[2] * 7, 3], [], [5])
    runs = [make_run(has_records=True) for _lines in lines]
    for run, numbers in zip(runs, lines, strict=True):
        for number in numbers:
            make_record(run, sequence=number)
    kept = make_record()

    deleted = list(delete_records(Run.objects.filter(pk__in=[run.pk for run in runs])))

    assert [sum(part.runs for part in deleted), sum(part.records for part in deleted)] == [4, 13]
    assert max(part.records for part in deleted) <= at_once
    assert list(Record.objects.all()) == [kept]
    assert list(Run.objects.filter(has_records=True)) == [kept.run]
