"""The housekeeping: messages that pile up, and clocks that disagree."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from apps.runs import tasks
from apps.runs.models import Payload, Run, Tick
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db


def pruned_by_a_message():
    """Whether a message has the hourly job done: it deletes an old run."""
    then = timezone.now() - timedelta(days=31)
    run = make_run(started_at=then, finished_at=then)
    tasks.prune_logs()
    return not Run.objects.filter(pk=run.pk).exists()


def test_of_the_messages_that_piled_up_one_does_the_work():
    assert pruned_by_a_message()
    assert not pruned_by_a_message()

    Tick.objects.update(ticked_at=Now() - timedelta(minutes=7))

    assert pruned_by_a_message()


def test_clean_up_that_took_all_of_its_time_goes_on_with_the_next_message():
    payload = make_payload(expires_at=Now() - timedelta(hours=1))
    Tick.note("delete_expired_payloads", deleted=100_000)
    # It began a minute ago, and has 45 s.
    Tick.objects.update(ticked_at=Now() - timedelta(seconds=15))

    tasks.delete_expired_payloads()

    assert Payload.objects.get(pk=payload.pk).status == "deleted"


def test_a_tick_of_a_database_whose_clock_was_put_back_stops_nothing():
    Tick.note("prune_logs")
    Tick.objects.update(ticked_at=Now() + timedelta(days=1))

    assert pruned_by_a_message()


def test_no_message_expires_by_the_clock_of_another_machine():
    """What beat sends would be dropped by a worker whose clock is ahead."""
    entries = settings.CELERY_BEAT_SCHEDULE.values()

    assert [entry for entry in entries if "expires" in entry.get("options", {})] == []
