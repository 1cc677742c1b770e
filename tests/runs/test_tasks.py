"""Housekeeping tasks: duplicate messages and clocks that differ."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from apps.runs import tasks
from apps.runs.models import HousekeepingJob, Payload, Run
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db


def is_pruned_by_task():
    """Calls the hourly task and returns whether it deleted an old run."""
    then = timezone.now() - timedelta(days=31)
    run = make_run(started_at=then, finished_at=then)
    tasks.prune_logs()
    return not Run.objects.filter(pk=run.pk).exists()


def test_only_one_of_several_queued_messages_runs_the_task():
    assert is_pruned_by_task()
    assert not is_pruned_by_task()

    HousekeepingJob.objects.update(last_run_at=Now() - timedelta(minutes=7))

    assert is_pruned_by_task()


def test_cleanup_at_its_time_limit_continues_with_the_next_message():
    payload = make_payload(expires_at=Now() - timedelta(hours=1))
    HousekeepingJob.record_run("delete_expired_payloads", deleted=100_000)
    # The last call started a minute ago and used its 45 s.
    HousekeepingJob.objects.update(last_run_at=Now() - timedelta(seconds=15))

    tasks.delete_expired_payloads()

    assert Payload.objects.get(pk=payload.pk).status == "deleted"


def test_last_run_in_the_future_does_not_stop_the_task():
    HousekeepingJob.record_run("prune_logs")
    HousekeepingJob.objects.update(last_run_at=Now() + timedelta(days=1))

    assert is_pruned_by_task()


def test_scheduled_messages_have_no_expiry():
    """A worker whose clock is ahead would discard messages with an expiry."""
    entries = settings.CELERY_BEAT_SCHEDULE.values()

    assert [entry for entry in entries if "expires" in entry.get("options", {})] == []
