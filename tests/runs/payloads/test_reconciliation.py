"""Rows and objects that do not match are counted and corrected; possible uploads in progress are not touched."""

import json
import os
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone

from apps.runs import tasks
from apps.runs.models import HousekeepingJob, Payload
from apps.runs.payloads.reconciliation import Reconciliation, reconcile_payloads
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db
LATER = timedelta(hours=2)


@pytest.fixture(params=["files", "s3"])
def store(request, settings, tmp_path):
    if request.param == "s3":
        request.getfixturevalue("s3_payloads")
    else:
        store = settings.STORAGES["payloads"] | {"OPTIONS": {"location": tmp_path / "store"}}
        settings.STORAGES = settings.STORAGES | {"payloads": store}
    return storages["payloads"]


def age(**span):
    Payload.objects.update(created_at=timezone.now() - timedelta(**span))


def test_object_without_row_is_deleted_after_an_hour(store):
    matched, deleted = make_payload(), make_payload(status="deleted", deleted_at=timezone.now())
    store.save("payloads/2026/1/1/7/abc", ContentFile(b"no row"))

    assert reconcile_payloads(timezone.now()).objects_without_row == 0

    found = reconcile_payloads(timezone.now() + LATER, dry_run=True)
    assert (found.objects_without_row, store.exists("payloads/2026/1/1/7/abc")) == (2, True)
    found = reconcile_payloads(timezone.now() + LATER)
    assert (found.objects_without_row, found.failed) == (2, 0)
    assert [store.exists(key) for key in ("payloads/2026/1/1/7/abc", deleted.key, matched.key)] == [
        False,
        False,
        True,
    ]
    assert reconcile_payloads(timezone.now() + LATER) == Reconciliation()


def test_row_without_object_becomes_lost_after_an_hour(store):
    matched, missing = make_payload(), make_payload(body=None)
    expired = make_payload(body=None, expires_at=timezone.now())

    assert reconcile_payloads(timezone.now()).rows_without_object == 0

    age(hours=2)
    assert reconcile_payloads(timezone.now(), dry_run=True).rows_without_object == 1
    assert reconcile_payloads(timezone.now()).rows_without_object == 1
    statuses = dict(Payload.objects.values_list("pk", "status"))
    assert statuses == {matched.pk: "stored", missing.pk: "lost", expired.pk: "stored"}
    assert reconcile_payloads(timezone.now()) == Reconciliation()


def test_stale_rows_of_ended_runs_are_corrected(store):
    pending, without_expiry = make_payload(status="pending"), make_payload(expires_at=None)
    running = make_run(status="running")
    waiting, live = make_payload(running, status="pending"), make_payload(running)
    age(hours=2)

    assert reconcile_payloads(timezone.now(), dry_run=True).stale_rows == 2
    assert reconcile_payloads(timezone.now()).stale_rows == 2

    statuses = dict(Payload.objects.values_list("pk", "status"))
    assert statuses == {
        pending.pk: "deleting",
        without_expiry.pk: "stored",
        waiting.pk: "pending",
        live.pk: "stored",
    }
    without_expiry.refresh_from_db()
    assert without_expiry.expires_at == without_expiry.run.finished_at + timedelta(hours=24)


def test_abandoned_upload_is_aborted_after_a_day(s3_payloads, s3_server):
    client = s3_server.client()
    upload = client.create_multipart_upload(Bucket=s3_payloads, Key="payloads/2026/1/1/7/big")["UploadId"]
    client.upload_part(
        Bucket=s3_payloads, Key="payloads/2026/1/1/7/big", UploadId=upload, PartNumber=1, Body=b"x"
    )

    assert reconcile_payloads(timezone.now()).abandoned_uploads == 0
    tomorrow = timezone.now() + timedelta(hours=25)
    assert reconcile_payloads(tomorrow, dry_run=True).abandoned_uploads == 1
    assert reconcile_payloads(tomorrow).abandoned_uploads == 1
    assert not client.list_multipart_uploads(Bucket=s3_payloads).get("Uploads")


def test_empty_folder_is_removed_after_a_day(settings, tmp_path):
    store = settings.STORAGES["payloads"] | {"OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"payloads": store}
    empty = tmp_path / "payloads/2026/01/01/7"
    empty.mkdir(parents=True)
    fresh = tmp_path / "payloads/2026/01/01/8"
    fresh.mkdir()
    os.utime(empty, (0, 0))

    reconcile_payloads(timezone.now())

    assert (empty.exists(), fresh.exists()) == (False, True)


def test_command_and_task_report_their_findings(store, capsys):
    make_payload(body=None)
    age(hours=2)

    call_command("reconcile_payloads", "--dry-run")
    assert "1 payloads without an object would be marked as lost" in capsys.readouterr().out
    tasks.reconcile_payloads()

    assert HousekeepingJob.objects.get(pk="reconcile_payloads").outcome == {
        "objects_without_row": 0,
        "rows_without_object": 1,
        "abandoned_uploads": 0,
        "stale_rows": 0,
        "failed": 0,
    }


def test_bucket_accepts_lifecycle_and_policy(s3_payloads, s3_server, capsys):
    call_command("payload_lifecycle", "lifecycle")
    lifecycle = json.loads(capsys.readouterr().out)
    client = s3_server.client()
    client.put_bucket_lifecycle_configuration(Bucket=s3_payloads, LifecycleConfiguration=lifecycle)

    call_command("payload_lifecycle")
    both = json.loads(capsys.readouterr().out)

    assert both["lifecycle"] == lifecycle
    # A day of retention, a week of run, ninety days of hold.
    assert lifecycle["Rules"][0]["Expiration"] == {"Days": 98}
    assert lifecycle["Rules"][1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    [statement] = both["policy"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    assert statement["Resource"] == [f"arn:aws:s3:::{s3_payloads}", f"arn:aws:s3:::{s3_payloads}/*"]
