"""Captured payloads of scheduled runs are stored if the run fails, otherwise discarded."""

import errno
import io
import logging
import os
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.core.files.storage import storages
from django.utils import timezone

from apps.runs.execution.executor import execute_run
from apps.runs.log.reading import lines_after
from apps.runs.log.run_log import RunLog
from apps.runs.models import LogEntry, Payload, Run
from apps.runs.payloads import capture
from apps.runs.payloads.capture import Capture, resolve_orphaned_captures, store_captured
from apps.runs.payloads.reading import open_payload
from apps.runs.payloads.storage import PayloadNotStored
from apps.runs.recovery.lost_runs import close_lost_runs
from tests.factories import make_connection, make_run, make_service

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger("apps.services.anything")
RECORDS = b'[{"id": 1}, {"id": 2}]'


@pytest.fixture
def service(tmp_path, settings):
    """A service that transforms a file into another file."""
    settings.FILE_ROOTS = [tmp_path]
    settings.SPOOL_DIR = tmp_path / "spool"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.json").write_bytes(RECORDS)
    drop = make_connection(kind="file", url=f"file://{tmp_path}")
    return make_service(
        source_connection=drop,
        source_options={"path": "in/*.json", "format": "json"},
        destination_connection=drop,
        destination_options={"path": "out/{run}-{page}.ndjson", "format": "ndjson"},
        capture_on_failure=True,
    )


def run_of(service, script, trigger=Run.Trigger.SCHEDULE):
    service.set_script(script)
    run = Run.objects.create(service=service, script=service.current_script(), trigger=trigger)
    return execute_run(run.pk, worker="test")


def captured_folders():
    return sorted(path.name for path in configured.SPOOL_DIR.glob("*.captured"))


@pytest.mark.parametrize("trigger", ["schedule", "retry"])
def test_failed_run_stores_captured_payloads_at_their_lines(service, trigger):
    run = run_of(service, "def transform(records):\n    fail('no')", trigger)

    assert run.status == "failed"
    stored = {payload.name: payload for payload in run.payloads.all()}
    assert set(stored) == {"pull-page-00001.json", "script-page-00001-input.json"}
    pulled = stored["pull-page-00001.json"]
    assert (pulled.status, pulled.expires_at) == ("stored", run.finished_at + configured.PAYLOAD_RETENTION)
    with open_payload(pulled) as stream:
        assert stream.read() == RECORDS
    line = LogEntry.objects.get(run=run, sequence=pulled.sequence)
    assert line.message.startswith("Pulled page 1")
    assert run.log_entries.filter(message__contains="failures or warnings: 2, each at its line").exists()
    assert lines_after(run, pulled.sequence - 1, 1)[0].payloads == (pulled,)
    assert captured_folders() == []


@pytest.mark.parametrize(
    ("status", "is_needed"), [("failed", True), ("lost", True), ("cancelled", True), ("succeeded", False)]
)
def test_payloads_are_needed_unless_the_run_succeeded(status, is_needed):
    """A cancelled run logs no warning, but whoever cancels a run may want to know what it was doing."""
    assert capture.is_clean(Run.Status(status), {}) is not is_needed


def test_successful_run_discards_captured_payloads(service):
    run = run_of(service, "def transform(records):\n    return records")

    assert (run.status, run.warning_count) == ("succeeded", 0)
    assert not Payload.objects.exists()
    assert captured_folders() == []


def test_manual_run_captures_nothing(service):
    run = run_of(service, "def transform(records):\n    fail('no')", "manual")

    assert run.status == "failed"
    assert not Payload.objects.exists()


def test_store_option_takes_precedence_over_capture(service):
    service.set_script("def transform(records):\n    return records")
    run = Run.objects.create(
        service=service, script=service.current_script(), trigger="schedule", store_pull=True
    )

    execute_run(run.pk, worker="test")

    assert [payload.kind for payload in run.payloads.all()] == ["pull"]


def refuse(*args, **kwargs):
    raise ConnectionRefusedError(111, "Connection refused")


def captured_run(service):
    run = make_run(service, status="running", trigger="schedule")
    captured = Capture.of(run)
    for number in range(1, 5):
        captured.add(
            kind="pull",
            name=f"page-{number}",
            content_type="text/plain",
            stream=io.BytesIO(b"%d" % number * 400),
            sequence=number,
        )
    return run


def test_oldest_captured_payloads_beyond_the_limit_are_dropped_and_logged(service, settings, caplog):
    settings.CAPTURE_BYTES = 1000
    run = captured_run(service)

    store_captured(run)

    assert [payload.name for payload in run.payloads.order_by("sequence")] == ["page-3", "page-4"]
    assert "The first 2 captured payloads were dropped" in caplog.text


def test_interrupted_storing_resumes_without_duplicates(service, monkeypatch):
    run = captured_run(service)
    unlink = Path.unlink

    def killed(path, **options):
        if path.name.startswith("00000002"):
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        store_captured(run)
    monkeypatch.undo()

    store_captured(run)

    names = run.payloads.filter(status="stored").order_by("sequence").values_list("name", flat=True)
    assert list(names) == ["page-1", "page-2", "page-3", "page-4"]


def test_failed_capture_does_not_affect_other_payloads(service, monkeypatch):
    run = make_run(service, status="running", trigger="schedule")
    captured = Capture.of(run)
    fields = {"kind": "pull", "content_type": "", "sequence": 1}
    captured.add(name="page-1", stream=io.BytesIO(b"1"), **fields)

    def fill_up(path, _text):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", fill_up)
        with pytest.raises(PayloadNotStored, match="No space left on device"):
            captured.add(name="page-2", stream=io.BytesIO(b"2"), **fields)

    store_captured(run)

    assert list(run.payloads.values_list("name", "status")) == [("page-1", "stored")]
    capture.discard_captured(run.pk)


def test_lost_run_stores_captured_payloads(service):
    run = captured_run(service)
    Run.objects.filter(pk=run.pk).update(lease_until="2020-01-01T00:00Z")

    assert close_lost_runs(worker="other") == 1

    run.refresh_from_db()
    assert run.status == "lost"
    assert run.payloads.filter(status="stored", expires_at__isnull=False).count() == 4
    assert captured_folders() == []


def test_captured_payloads_are_stored_later_if_another_host_closed_the_run(service):
    run = captured_run(service)
    with RunLog(run, run.lease_token):
        for number in range(1, 5):
            logger.info("Line %d", number)
    LogEntry.objects.filter(run_id=run.pk, sequence__gt=2).delete()
    folder = configured.SPOOL_DIR.rename(configured.SPOOL_DIR.with_name("away"))
    Run.objects.filter(pk=run.pk).update(lease_until="2020-01-01T00:00Z")
    assert close_lost_runs(worker="there:1") == 1
    assert not Payload.objects.exists()
    folder.rename(configured.SPOOL_DIR)

    for _sweep in range(2):
        close_lost_runs(worker="test")

    run.refresh_from_db()
    lines = {payload.name: payload.sequence for payload in run.payloads.filter(status="stored")}
    messages = dict(run.log_entries.values_list("sequence", "message"))
    assert {name: messages[sequence] for name, sequence in lines.items()} == {
        f"page-{number}": f"Line {number}" for number in range(1, 5)
    }
    assert set(run.payloads.values_list("expires_at", flat=True)) == {
        run.finished_at + configured.PAYLOAD_RETENTION
    }
    assert captured_folders() == []


def test_captured_payloads_wait_for_unreachable_store_until_expiry(service, monkeypatch):
    run = captured_run(service)
    Run.objects.filter(pk=run.pk).update(
        status="lost", finished_at=timezone.now(), lease_token=None, lease_until=None
    )
    with monkeypatch.context() as patch:
        patch.setattr(type(storages["payloads"]), "size", refuse)
        resolve_orphaned_captures()
    assert not Payload.objects.exists()
    assert captured_folders() == [f"run-{run.pk}.captured"]

    other = captured_run(service)
    Run.objects.filter(pk=other.pk).update(
        status="lost",
        finished_at=timezone.now() - configured.PAYLOAD_RETENTION,
        lease_token=None,
        lease_until=None,
    )
    resolve_orphaned_captures()

    assert run.payloads.filter(status="stored").count() == 4
    assert not other.payloads.exists()
    assert captured_folders() == []


def test_orphaned_captures_are_discarded(service):
    running, ended = captured_run(service), captured_run(service)
    Run.objects.filter(pk=ended.pk).update(status="succeeded", finished_at="2026-01-01T00:00Z")

    resolve_orphaned_captures()

    assert captured_folders() == [f"run-{running.pk}.captured"]
    capture.discard_captured(running.pk)


def test_unreachable_store_loses_only_the_captured_payloads(service, monkeypatch):
    monkeypatch.setattr(type(storages["payloads"]), "_save", refuse)

    run = run_of(service, "def transform(records):\n    fail('no')")

    assert run.status == "failed"
    assert run.log_entries.filter(message__contains="could not be stored").count() == 2
