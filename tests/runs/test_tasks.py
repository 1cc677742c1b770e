"""The housekeeping: messages that pile up, and clocks that disagree."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now

from apps.runs import tasks
from apps.runs.models import Tick
from apps.services.models import Service
from tests.factories import make_service

pytestmark = pytest.mark.django_db


def queued_by_a_message():
    """Whether a message makes the schedule tick: it queues a service that is due."""
    service = make_service(schedule="* * * * *")
    Service.objects.filter(pk=service.pk).update(next_run_at=Now() - timedelta(seconds=1))
    tasks.queue_due_runs()
    return service.runs.exists()


def test_of_the_messages_that_piled_up_one_does_the_work():
    assert queued_by_a_message()
    assert not queued_by_a_message()

    Tick.objects.update(ticked_at=Now() - timedelta(seconds=6))

    assert queued_by_a_message()


def test_a_tick_of_a_database_whose_clock_was_put_back_stops_nothing():
    Tick.note("queue_due_runs")
    Tick.objects.update(ticked_at=Now() + timedelta(days=1))

    assert queued_by_a_message()


def test_no_message_expires_by_the_clock_of_another_machine():
    """What beat sends would be dropped by a worker whose clock is ahead."""
    entries = settings.CELERY_BEAT_SCHEDULE.values()

    assert [entry for entry in entries if "expires" in entry.get("options", {})] == []
