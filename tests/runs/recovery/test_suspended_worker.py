"""A worker that is suspended within a transaction does not keep other runs from being closed."""

import threading

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.runs.models import Run
from apps.runs.recovery.lost_runs import close_lost_runs
from tests.factories import make_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql,
    pytest.mark.usefixtures("own_folders"),
]


def test_locked_run_is_closed_later_and_the_others_now():
    locked, other = (make_run(status="running") for _ in range(2))
    Run.objects.update(lease_until=Now())
    is_locked, may_end = threading.Event(), threading.Event()

    def hold_the_row() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked.pk)
            is_locked.set()
            may_end.wait(60)
        connection.close()

    suspended = threading.Thread(target=hold_the_row)
    suspended.start()
    assert is_locked.wait(60)

    first = close_lost_runs(worker="other:1")
    may_end.set()
    suspended.join()
    second = close_lost_runs(worker="other:1")

    assert (first, second) == (1, 1)
    assert set(Run.objects.values_list("pk", "status")) == {(locked.pk, "lost"), (other.pk, "lost")}


def test_transaction_of_a_suspended_worker_is_ended_by_the_database() -> None:
    """Whatever the worker was writing, such as the end of its run."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("30s",)
