"""Queueing of runs: options, idempotency keys, scheduled runs, unclaimed runs."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db.models.functions import Now

from apps.runs.execution.queue import QueuedRuns, queue_due_runs, queue_run, resend_unclaimed_runs
from apps.runs.models import Run
from apps.services.models import Service
from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def scheduled():
    service = make_service(schedule="*/15 * * * *")
    service.plan_next_run(NOON)
    service.save()
    return service


def test_queued_run_stores_its_options_and_current_script():
    service = make_service(script="def transform(records):\n    return records\n")
    user = make_user()

    run = queue_run(
        service,
        trigger=Run.Trigger.MANUAL,
        user=user,
        store=["pull", "script"],
        is_dry_run=True,
        options={"page_size": "50", "record_id": "10045"},
    )

    assert (run.status, run.trigger, run.started_by, run.is_dry_run) == ("queued", "manual", user, True)
    assert (run.stores, run.script) == (("pull", "script"), service.current_script())
    assert run.options == {"page_size": 50, "record_id": "10045"}
    assert run.queued_at is not None


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"store": ["everything"]}, "store"),
        ({"options": {"page_size": "many"}}, "page_size"),
        ({"options": {"page_size": 0}}, "page_size"),
        ({"options": {"max_attempts": 1000}}, "max_attempts"),
        ({"options": {"colour": "red"}}, "colour"),
    ],
)
def test_invalid_value_error_names_its_field_and_queues_nothing(arguments, field):
    with pytest.raises(ValidationError) as caught:
        queue_run(make_service(), trigger=Run.Trigger.API, **arguments)

    assert list(caught.value.message_dict) == [field]
    assert Run.objects.count() == 0


def test_idempotency_key_starts_one_run():
    service, user = make_service(), make_user()
    arguments = {"trigger": Run.Trigger.API, "user": user, "idempotency_key": "k1"}

    first, again = queue_run(service, **arguments), queue_run(service, **arguments)
    other = queue_run(service, **arguments | {"idempotency_key": "k2"})

    assert first == again
    assert other != first


def test_due_run_is_queued_once_by_several_schedulers(scheduled):
    now = NOON + timedelta(minutes=15, seconds=3)

    [run] = queue_due_runs(now).queued
    Service.objects.update(next_run_at=NOON + timedelta(minutes=15))
    second = queue_due_runs(now)

    assert second == QueuedRuns()
    assert (run.trigger, run.scheduled_for) == ("schedule", NOON + timedelta(minutes=15))
    scheduled.refresh_from_db()
    assert scheduled.next_run_at == NOON + timedelta(minutes=30)


def test_only_latest_missed_run_is_queued(scheduled):
    [run] = queue_due_runs(NOON + timedelta(hours=5, minutes=1)).queued

    assert run.scheduled_for == NOON + timedelta(hours=5)
    assert Run.objects.count() == 1


def test_run_is_not_queued_early_or_while_inactive(scheduled):
    assert queue_due_runs(NOON + timedelta(minutes=14)) == QueuedRuns()

    scheduled.set_active(False, NOON)

    assert queue_due_runs(NOON + timedelta(hours=1)) == QueuedRuns()


def test_runs_due_during_inactivity_are_not_queued_later(scheduled):
    scheduled.set_active(False, NOON)
    scheduled.set_active(True, NOON + timedelta(hours=3, minutes=1))

    assert queue_due_runs(NOON + timedelta(hours=3, minutes=2)) == QueuedRuns()
    assert scheduled.next_run_at == NOON + timedelta(hours=3, minutes=15)


def test_unclaimed_run_is_sent_again_once_a_minute():
    service = make_service()
    waiting = queue_run(service, trigger=Run.Trigger.MANUAL)
    queue_run(service, trigger=Run.Trigger.MANUAL)
    Run.objects.filter(pk=waiting.pk).update(sent_at=Now() - timedelta(seconds=61))

    assert resend_unclaimed_runs() == [waiting.pk]
    assert resend_unclaimed_runs() == []
