"""Cancellation and timeouts take effect in every step, also if a system, the payload store or a script hangs."""

import threading
import time
from contextlib import nullcontext

import pytest
from botocore.config import Config
from django.db import connection

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.log.spool import spooled_runs
from apps.runs.models import Level, LogEntry, Run
from tests.factories import make_connection
from tests.faults.proxy import proxy
from tests.stack import wait_until
from tests.systems import service_between, systems
from tests.unresponsive_servers import silent_server, slow_server, unreachable_server

# A server hangs, never the database, so these tests need not run on both databases.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.stack]
ENDLESS = "def transform(records):\n    for i in range(1000000000):\n        pass\n    return records\n"


@pytest.fixture(autouse=True)
def folders(settings, tmp_path, monkeypatch):
    settings.SPOOL_DIR = tmp_path / "spool"
    monkeypatch.setattr("apps.runs.log.shipper.HEARTBEAT_INTERVAL", 0.2)


@pytest.fixture
def world():
    with systems([{"id": number} for number in range(1, 11)]) as world:
        yield world


def execute_and_cancel(service, message, **arguments):
    """Executes a run, cancels it once its log contains the message, and returns it with the seconds until its end."""
    run = queue_run(service, **{"trigger": Run.Trigger.MANUAL, **arguments})
    cancelled_at = []

    def cancel():
        try:
            while not LogEntry.objects.filter(run_id=run.pk, message__contains=message).exists():
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


UNREACHABLE = "http://127.0.0.1:9"
# By step that hangs: the hanging server, its URL, and a message that is logged before.
HANGS = {
    "pull": (silent_server, "http://127.0.0.1:{}", "started"),
    "pull, a byte a second": (slow_server, "http://127.0.0.1:{}", "started"),
    "pull, connecting": (unreachable_server, "http://127.0.0.1:{}", "started"),
    "pull, over TLS": (silent_server, "https://127.0.0.1:{}", "started"),
    "pull, from SFTP": (silent_server, "sftp://127.0.0.1:{}/in", "started"),
    "pull, connecting to SFTP": (unreachable_server, "sftp://127.0.0.1:{}/in", "started"),
    "pull, from S3": (silent_server, "s3://bucket", "started"),
    "pull, again": (nullcontext, UNREACHABLE, "retry in"),
    "store": (silent_server, "", "started"),
    "script": (nullcontext, "", "Script called"),
    "push": (silent_server, "http://127.0.0.1:{}", "Pulled page 1"),
    "push, again": (nullcontext, UNREACHABLE, "retry in"),
}


@pytest.fixture(params=HANGS)
def hanging(request, world, settings, monkeypatch):
    """A service that hangs in one step, the kinds of payloads to store, and a message that is logged before."""
    server, address, message = HANGS[request.param]
    fields = {"retry_limit": 3, "max_attempts": 20}
    store = []
    with server() as port:
        url = address.format(port)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        options = {"url": url, "connect_timeout": 100, "read_timeout": 1000}
        if url.startswith(("sftp", "s3")):
            options |= {"kind": "file", "auth": "basic", "auth_username": "me", "secret": "secret"}
            fields["source_options"] = {"path": "*.json", "format": "json"}
        match request.param.split(",")[0]:
            case "pull":
                fields["source_connection"] = make_connection(**options)
            case "store":
                settings.STORAGES = settings.STORAGES | {"payloads": bucket_at(f"http://127.0.0.1:{port}")}
                store = ["pull"]
            case "script":
                fields["script"] = ENDLESS
            case "push":
                fields["destination_connection"] = make_connection(**options)
        yield service_between(world, **fields), store, message


def bucket_at(url, **config):
    options = {
        "bucket_name": "bucket",
        "endpoint_url": url,
        "region_name": "us-east-1",
        "access_key": "key",
        "secret_key": "secret",
        "client_config": Config(
            connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3}, **config
        ),
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


def test_cancellation_takes_effect_in_every_step(hanging):
    service, store, message = hanging

    run, seconds = execute_and_cancel(service, message, store=store)

    assert (run.status, run.is_complete, run.retries.count()) == ("cancelled", True, 0)
    assert run.error == ""
    assert run.log_entries.get(message="Cancelled by request").level == Level.INFO, "not a warning"
    assert seconds < 10, "a cancelled run ends within 10 s"


@pytest.mark.parametrize("hanging", ["pull", "store", "script", "push"], indirect=True)
def test_timeout_takes_effect_in_every_step(hanging):
    service, store, _message = hanging
    service.timeout_seconds = 1
    service.save()
    run = queue_run(service, trigger=Run.Trigger.MANUAL, store=store)
    started = time.monotonic()

    ended = execute_run(run.pk, worker="test")

    assert (ended.status, ended.is_complete) == ("failed", True)
    assert ended.error.startswith("Timed out: the limit of the service is 1 s.")
    assert time.monotonic() - started < 1 + 10


def test_run_stores_the_duration_of_each_step(world):
    run = queue_run(
        service_between(world, script="def transform(records):\n    return records\n"), trigger="manual"
    )

    ended = execute_run(run.pk, worker="test")

    assert sorted(ended.step_seconds) == ["pull", "push", "script"]
    assert all(seconds > 0 for seconds in ended.step_seconds.values())


def supervised_threads():
    return [thread for thread in threading.enumerate() if thread.name == "supervised"]


def test_abandoned_attempt_is_interrupted_and_ends(world, monkeypatch):
    with silent_server() as port:
        silent = make_connection(url=f"http://127.0.0.1:{port}", read_timeout=1000)

        execute_and_cancel(service_between(world, source_connection=silent), "started")

        wait_until(lambda: not supervised_threads())


def test_abandoned_attempt_writes_nothing_more(world, s3_server, s3_payloads, settings):
    options = settings.STORAGES["payloads"]["OPTIONS"]
    with proxy(s3_server.ports["s3"][0]) as store:
        options["endpoint_url"] = store.url
        store.switch("hang")
        service = service_between(
            world, script="def transform(records):\n    log('never')\n    return records\n"
        )

        run, _seconds = execute_and_cancel(service, "started", store=["pull", "push"])
        before = list(LogEntry.objects.filter(run_id=run.pk).values_list("sequence", "message"))
        store.switch("through")
        wait_until(lambda: not supervised_threads())

    assert list(LogEntry.objects.filter(run_id=run.pk).values_list("sequence", "message")) == before
    assert (world.received, spooled_runs()) == ([], [])
    assert [payload.status for payload in run.payloads.all()] == ["deleting"]
    assert "Contents" not in s3_server.client().list_objects_v2(Bucket=s3_payloads)
    run.refresh_from_db()
    assert (run.status, run.line_count) == ("cancelled", len(before))


def test_unresponsive_store_does_not_delay_cancelled_run(world, settings):
    with silent_server() as port:
        settings.STORAGES = settings.STORAGES | {"payloads": bucket_at(f"http://127.0.0.1:{port}")}
        unreachable = make_connection(url=UNREACHABLE)
        service = service_between(
            world, capture_on_failure=True, max_attempts=20, destination_connection=unreachable
        )

        run, seconds = execute_and_cancel(service, "retry in", trigger=Run.Trigger.SCHEDULE)

    assert (run.status, run.is_complete) == ("cancelled", True)
    assert seconds < 10
    reports = LogEntry.objects.filter(
        run_id=run.pk, message__startswith="Not all captured payloads are stored"
    )
    assert reports.count() == 1
