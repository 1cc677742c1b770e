"""The announcement of a run's end: in its transaction, and never an obstacle to it."""

from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from apps.runs.execution.finalization import end_run_without_spool
from apps.runs.execution.run_end import run_ended
from apps.runs.models import Level, Run
from apps.runs.reported.reporting import finish_reported_run
from tests.factories import make_run, make_service, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def receiver(receive):
    run_ended.connect(receive, weak=False)
    try:
        yield
    finally:
        run_ended.disconnect(receive)


def end(run, status=Run.Status.FAILED):
    token = run.claim("worker")
    end_run_without_spool(run, token, status, Level.ERROR, "It failed")
    run.refresh_from_db()


def test_receivers_see_the_end_of_a_run_within_its_transaction():
    seen = []

    def receive(run_id, **_signal):
        seen.append((Run.objects.get(pk=run_id).status, connection.in_atomic_block))

    with receiver(receive):
        end(make_run(status="queued"))

    assert seen == [("failed", True)]


def test_receivers_see_the_end_of_a_reported_run_once():
    user, seen = make_user(), []
    run = make_run(make_service(kind="reported"), status="running", started_by=user, worker="reporter x")
    outcome = {"status": "succeeded", "pulled_count": 1, "pushed_count": 1, "error": ""}

    with receiver(lambda run_id, **_signal: seen.append(run_id)):
        finish_reported_run(run, user, **outcome)
        finish_reported_run(run, user, **outcome)

    assert seen == [run.pk]


@pytest.mark.parametrize("breaks", ["python", "sql"])
def test_failing_receiver_does_not_prevent_the_end_of_a_run(breaks, caplog):
    def receive(run_id, **_signal):
        Run.objects.filter(pk=run_id).update(error="Changed by the receiver")
        if breaks == "python":
            raise ValueError("receiver")
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    run = make_run(status="queued")

    with receiver(receive):
        end(run)

    assert (run.status, run.error) == ("failed", "It failed")
    assert f"Run {run.pk} ended, but a receiver of its end failed" in caplog.text


def test_run_does_not_end_if_the_database_fails_in_a_receiver():
    """Otherwise its transaction would be rolled back in silence."""

    def receive(run_id, **_signal):
        connection.close()
        raise OperationalError("gone")

    run = make_run(status="queued")

    with receiver(receive), pytest.raises(OperationalError, match="gone"):
        end(run)

    run.refresh_from_db()
    assert run.status == "running"
