"""Cancelling and timeouts take effect in every step, also where a system, the payload store or a script hangs."""

import threading
import time
from contextlib import nullcontext

import pytest
from botocore.config import Config
from django.db import connection

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.log.spool import spooled_runs
from apps.runs.models import LogEntry, Run
from tests.factories import make_connection
from tests.faults.proxy import proxy
from tests.silence import mute, trickling, unreachable
from tests.stack import wait_until
from tests.systems import service_between, systems

# What hangs is a server, never the database: once is enough.
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


def execute_and_cancel(service, said, **how):
    """The run as it ended, cancelled once its log said so, and the seconds that that took."""
    run = queue_run(service, **{"trigger": Run.Trigger.MANUAL, **how})
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


AWAY = "http://127.0.0.1:9"
# By the step in which it hangs: the server that hangs, the address there, and what the log says before.
HANGS = {
    "pull": (mute, "http://127.0.0.1:{}", "started"),
    "pull, a byte a second": (trickling, "http://127.0.0.1:{}", "started"),
    "pull, connecting": (unreachable, "http://127.0.0.1:{}", "started"),
    "pull, over TLS": (mute, "https://127.0.0.1:{}", "started"),
    "pull, from SFTP": (mute, "sftp://127.0.0.1:{}/in", "started"),
    "pull, connecting to SFTP": (unreachable, "sftp://127.0.0.1:{}/in", "started"),
    "pull, from S3": (mute, "s3://bucket", "started"),
    "pull, again": (nullcontext, AWAY, "retry in"),
    "store": (mute, "", "started"),
    "script": (nullcontext, "", "Script called"),
    "push": (mute, "http://127.0.0.1:{}", "Pulled page 1"),
    "push, again": (nullcontext, AWAY, "retry in"),
}


@pytest.fixture(params=HANGS)
def hanging(request, world, settings, monkeypatch):
    """A service that hangs in one step, the switches to run it with, and what its log says before."""
    server, address, said = HANGS[request.param]
    fields = {"retry_limit": 3, "max_attempts": 20}
    store = []
    with server() as port:
        url = address.format(port)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        patient = {"url": url, "connect_timeout": 100, "read_timeout": 1000}
        if url.startswith(("sftp", "s3")):
            patient |= {"kind": "file", "auth": "basic", "auth_username": "me", "secret": "secret"}
            fields["source_options"] = {"path": "*.json", "format": "json"}
        match request.param.split(",")[0]:
            case "pull":
                fields["source_connection"] = make_connection(**patient)
            case "store":
                settings.STORAGES = settings.STORAGES | {"payloads": bucket_at(f"http://127.0.0.1:{port}")}
                store = ["pull"]
            case "script":
                fields["script"] = ENDLESS
            case "push":
                fields["destination_connection"] = make_connection(**patient)
        yield service_between(world, **fields), store, said


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


def test_a_cancel_takes_effect_in_every_step(hanging):
    service, store, said = hanging

    run, seconds = execute_and_cancel(service, said, store=store)

    assert (run.status, run.is_complete, run.retries.count()) == ("cancelled", True, 0)
    assert run.error == ""
    assert seconds < 10, "that is what is promised"


@pytest.mark.parametrize("hanging", ["pull", "store", "script", "push"], indirect=True)
def test_a_timeout_takes_effect_in_every_step(hanging):
    service, store, _said = hanging
    service.timeout_seconds = 1
    service.save()
    run = queue_run(service, trigger=Run.Trigger.MANUAL, store=store)
    started = time.monotonic()

    ended = execute_run(run.pk, worker="test")

    assert (ended.status, ended.is_complete) == ("failed", True)
    assert ended.error.startswith("Timed out: the limit of the service is 1 s.")
    assert time.monotonic() - started < 1 + 10


def test_the_time_in_each_step_is_kept(world):
    run = queue_run(
        service_between(world, script="def transform(records):\n    return records\n"), trigger="manual"
    )

    ended = execute_run(run.pk, worker="test")

    assert sorted(ended.step_seconds) == ["pull", "push", "script"]
    assert all(seconds > 0 for seconds in ended.step_seconds.values())


def supervised_threads():
    return [thread for thread in threading.enumerate() if thread.name == "supervised"]


def test_what_was_left_behind_is_woken_up_and_goes(world, monkeypatch):
    with mute() as port:
        silent = make_connection(url=f"http://127.0.0.1:{port}", read_timeout=1000)

        execute_and_cancel(service_between(world, source_connection=silent), "started")

        wait_until(lambda: not supervised_threads())


def test_what_was_left_behind_writes_nothing_more(world, s3_server, s3_payloads, settings):
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


def test_evidence_that_the_store_does_not_take_holds_no_cancelled_run_up(world, settings):
    with mute() as port:
        settings.STORAGES = settings.STORAGES | {"payloads": bucket_at(f"http://127.0.0.1:{port}")}
        away = make_connection(url=AWAY)
        service = service_between(
            world, capture_on_failure=True, max_attempts=20, destination_connection=away
        )

        run, seconds = execute_and_cancel(service, "retry in", trigger=Run.Trigger.SCHEDULE)

    assert (run.status, run.is_complete) == ("cancelled", True)
    assert seconds < 10
    said = LogEntry.objects.filter(run_id=run.pk, message__startswith="Not all captured payloads are stored")
    assert said.count() == 1
