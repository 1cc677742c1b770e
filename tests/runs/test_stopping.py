"""Cancelling and timeouts take effect in every step: while a request hangs, between attempts, in the script."""

import logging
import threading
import time

import pytest
from django.db import connection

from apps.runs.execution import execute_run
from apps.runs.models import LogEntry, Run
from apps.runs.queueing import queue_run
from tests.factories import make_connection, make_service
from tests.systems import systems

pytestmark = pytest.mark.django_db(transaction=True)
ENDLESS = "def transform(records):\n    for i in range(1000000000):\n        pass\n    return records\n"


@pytest.fixture(autouse=True)
def folders(settings, tmp_path, monkeypatch):
    settings.SPOOL_DIR = tmp_path / "spool"
    monkeypatch.setattr("apps.runs.logs.shipper.BEAT_EVERY", 0.2)


@pytest.fixture
def world():
    with systems([{"id": number} for number in range(1, 11)]) as world:
        yield world


def service_of(world, **fields):
    source = make_connection(url=world.url, read_timeout=2)
    options = {"path": "/orders", "pagination": {"type": "page", "page_param": "page", "size_param": "size"}}
    return make_service(
        **{
            "source_connection": source,
            "source_options": options,
            "destination_connection": source,
            "destination_options": {"path": "/stock"},
            **fields,
        }
    )


def execute_and_cancel(service, said):
    """The run as it ended, cancelled once its log said so, and the seconds that that took."""
    run = queue_run(service, trigger=Run.Trigger.MANUAL)
    cancelled_at = []

    def cancel():
        try:
            while not LogEntry.objects.filter(run_id=run.pk, message__contains=said).exists():
                time.sleep(0.05)
            cancelled_at.append(time.monotonic())
            assert run.request_cancel()
        finally:
            connection.close()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    ended = execute_run(run.pk, worker="test")
    canceller.join()
    return ended, time.monotonic() - cancelled_at[0]


@pytest.mark.parametrize(
    ("step", "said"),
    [("pull", "started"), ("retry", "the next in"), ("script", "Script called"), ("push", "the next in")],
)
def test_a_cancel_takes_effect_in_every_step(world, step, said):
    away = make_connection(url="http://127.0.0.1:9")
    fields = {"retry_limit": 3, "max_attempts": 20}
    match step:
        case "pull":
            world.may_answer.clear()
        case "retry":
            fields["source_connection"] = away
        case "script":
            fields["script"] = ENDLESS
        case "push":
            fields["destination_connection"] = away

    run, seconds = execute_and_cancel(service_of(world, **fields), said)

    assert (run.status, run.is_complete, run.retries.count()) == ("cancelled", True, 0)
    assert seconds < 10, "that is what is promised"


@pytest.mark.parametrize("step", ["pull", "retry", "script", "push"])
def test_a_timeout_takes_effect_in_every_step(world, step):
    away = make_connection(url="http://127.0.0.1:9")
    fields = {"timeout_seconds": 2, "max_attempts": 20}
    match step:
        case "pull":
            world.may_answer.clear()
        case "retry":
            fields["source_connection"] = away
        case "script":
            fields["script"] = ENDLESS
        case "push":
            fields["destination_connection"] = away
    run = queue_run(service_of(world, **fields), trigger=Run.Trigger.MANUAL)

    ended = execute_run(run.pk, worker="test")

    assert ended.status == "failed"
    assert ended.error.startswith(("Timed out: the service's limit is 2 s.", "GET", "POST"))
    last_error = LogEntry.objects.filter(run_id=run.pk, level=logging.ERROR, message__startswith="Timed out")
    assert last_error.exists()


def test_the_time_in_each_step_is_kept(world):
    run = queue_run(
        service_of(world, script="def transform(records):\n    return records\n"), trigger="manual"
    )

    ended = execute_run(run.pk, worker="test")

    assert sorted(ended.step_seconds) == ["pull", "push", "script"]
    assert all(seconds > 0 for seconds in ended.step_seconds.values())
