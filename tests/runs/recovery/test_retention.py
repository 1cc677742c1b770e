from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.runs.models import LogEntry, Payload, Run
from apps.runs.recovery import retention
from apps.runs.recovery.retention import prune_logs
from tests.factories import make_log_entries, make_payload, make_run, make_service

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


@pytest.fixture
def old(monkeypatch):
    monkeypatch.setattr(retention, "LINES_AT_ONCE", 2)
    began = timezone.now() - timedelta(days=31)
    run = make_run(make_service(), started_at=began, finished_at=began)
    make_log_entries(run, 5)
    return run


def test_old_runs_go_with_their_lines_and_others_stay(old):
    recent = make_run(old.service)
    make_log_entries(recent, 3)
    still_running = make_run(old.service, status="running", started_at=old.started_at)

    pruning = prune_logs(MONTH)

    assert (pruning.runs, pruning.lines) == (1, 5)
    assert set(Run.objects.all()) == {recent, still_running}
    assert LogEntry.objects.count() == 3


def test_a_run_stays_while_an_object_of_it_is_in_the_store(old):
    payload = make_payload(old)

    assert prune_logs(MONTH).runs == 0

    Payload.objects.filter(pk=payload.pk).update(status="deleted", deleted_at=timezone.now())
    assert prune_logs(MONTH).runs == 1
    assert Payload.objects.count() == 0


def test_a_retried_run_may_go_before_its_retry(old):
    retry = make_run(old.service, retry_of=old, trigger="retry")

    prune_logs(MONTH)

    retry.refresh_from_db()
    assert retry.retry_of is None


def test_the_command_can_say_what_it_would_delete(old, capsys):
    call_command("prune_logs", "--dry-run")

    assert capsys.readouterr().out == "1 runs and 5 log lines would be deleted.\n"
    assert Run.objects.count() == 1


def test_a_service_may_keep_its_logs_longer_or_shorter(old):
    day = timedelta(days=1)
    long, short = make_service(log_retention_days=60), make_service(log_retention_days=2)
    began = timezone.now() - 3 * day
    kept = make_run(long, started_at=old.started_at, finished_at=old.finished_at)
    too_old = make_run(long, started_at=began - 60 * day, finished_at=began - 60 * day)
    gone = make_run(short, started_at=began, finished_at=began)
    fresh = make_run(short, started_at=began + 2 * day, finished_at=began + 2 * day)

    assert prune_logs(MONTH, dry_run=True).runs == 3
    assert prune_logs(MONTH).runs == 3

    assert set(Run.objects.all()) == {kept, fresh}
    assert not {old, too_old, gone} & set(Run.objects.all())


def test_a_held_run_stays_until_its_hold_is_over(old):
    Run.objects.filter(pk=old.pk).update(held_until=timezone.now() + timedelta(minutes=1))

    assert prune_logs(MONTH, dry_run=True).runs == 0
    assert prune_logs(MONTH).runs == 0
    assert LogEntry.objects.count() == 5

    Run.objects.filter(pk=old.pk).update(held_until=timezone.now() - timedelta(minutes=1))
    assert prune_logs(MONTH).runs == 1


def test_a_run_that_is_held_while_it_is_deleted_keeps_the_rest(old, monkeypatch):
    still_old = retention._still_old

    def hold_after_two(batch, how_long):
        if LogEntry.objects.count() <= 3:
            Run.objects.update(held_until=timezone.now() + timedelta(days=1))
        return still_old(batch, how_long)

    monkeypatch.setattr(retention, "_still_old", hold_after_two)

    assert prune_logs(MONTH) == retention.Pruning(runs=0, lines=2)
    assert LogEntry.objects.count() == 3


def test_a_run_that_was_cancelled_before_it_started_goes_as_well(old):
    make_run(old.service, status="cancelled", started_at=None, finished_at=old.finished_at)

    assert prune_logs(MONTH).runs == 2


def test_many_small_runs_go_together(old, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr(retention, "LINES_AT_ONCE", 20_000)
    for _ in range(20):
        make_log_entries(make_run(old.service, started_at=old.started_at, finished_at=old.finished_at))

    with django_assert_max_num_queries(30):
        pruning = prune_logs(MONTH)

    assert (pruning.runs, pruning.lines) == (21, 65)


def test_a_long_run_costs_two_queries_a_batch(old, django_assert_num_queries):
    # 3 batches of SAVEPOINT, lock, DELETE and RELEASE; 14 for the services, the run and the ends of its log.
    with django_assert_num_queries(26):
        assert prune_logs(MONTH).lines == 5


def test_what_the_time_is_too_short_for_is_left_for_the_next(old):
    make_run(old.service, started_at=old.started_at, finished_at=old.finished_at, line_count=5)

    assert prune_logs(MONTH, max_seconds=-1).runs == 1
    assert prune_logs(MONTH, max_seconds=-1).runs == 1
    assert not Run.objects.exists()
