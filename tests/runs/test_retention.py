from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.runs import retention
from apps.runs.models import LogEntry, Payload, Run
from apps.runs.retention import prune_logs
from tests.factories import make_log_entries, make_payload, make_run, make_service

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


@pytest.fixture
def old(monkeypatch):
    monkeypatch.setattr(retention, "_LINES_AT_ONCE", 2)
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
