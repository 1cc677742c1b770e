"""Health checks of the `doctor` command."""

import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.core.files.storage import FileSystemStorage, storages
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.runs import tasks
from apps.runs.log.spool import Spool
from apps.runs.models import HousekeepingJob, Payload, Run
from apps.runs.monitoring import doctor
from apps.runs.monitoring.doctor import run_checks
from tests.documents import ROOT
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db
NAMES = ["database", "broker", "workers", "scheduler", "spool", "payload_store", "clock", "expiry"]


@pytest.fixture(autouse=True)
def healthy_installation(settings, tmp_path, monkeypatch):
    """A healthy installation; workers and broker are stubs, because these tests start neither."""
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.STORAGES = settings.STORAGES | {
        "payloads": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "payloads"},
        }
    }
    monkeypatch.setattr(doctor, "check_broker", lambda: None)
    monkeypatch.setattr(doctor, "responding_workers", lambda timeout: ["runs@here"])
    HousekeepingJob.record_run("queue_due_runs", queued=0)


def failed(**arguments):
    return {result.name: result.detail for result in run_checks(**arguments) if not result.is_ok}


def spool_of(run, *, age=timedelta()):
    spool = Spool(run.pk)
    spool.open()
    spool.append(b"1\t1\t2026-11-23 07:15:09.000000+00\t20\t2\tline\n")
    spool.close()
    then = time.time() - age.total_seconds()
    os.utime(spool.path, (then, then))


@pytest.mark.parametrize("is_thorough", [False, True])
def test_each_check_passes_with_a_message(is_thorough):
    results = run_checks(is_thorough=is_thorough)

    assert [result.name for result in results] == NAMES
    assert all(result.is_ok and result.label and result.detail.endswith(".") for result in results)


def test_command_prints_one_line_per_check_and_fails_if_one_fails(capsys):
    call_command("doctor", no_color=True)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(NAMES)
    assert all(line.startswith("ok     ") for line in lines)

    HousekeepingJob.objects.all().delete()
    with pytest.raises(CommandError, match=r"Failed checks: Scheduler\."):
        call_command("doctor", no_color=True)
    assert "FAILED Scheduler: Has never run" in capsys.readouterr().out


def test_unreachable_broker_is_reported_without_its_address(monkeypatch):
    def fail():
        raise OperationalError("redis://:hunter2@10.0.0.7:6379")

    monkeypatch.setattr(doctor, "check_broker", fail)

    assert failed() == {"broker": "Does not respond (OperationalError)."}


def test_missing_workers_are_reported(monkeypatch):
    monkeypatch.setattr(doctor, "responding_workers", lambda timeout: [])

    assert list(failed(is_thorough=True)) == ["workers"]
    assert failed() == {}


def test_waiting_runs_are_reported():
    make_run(
        status=Run.Status.QUEUED, queued_at=Now() - timedelta(minutes=3), sent_at=Now() - timedelta(minutes=2)
    )

    assert failed() == {"workers": "1 runs have been waiting for over two minutes; check the workers."}


def test_silent_scheduler_is_reported():
    HousekeepingJob.objects.update(last_run_at=Now() - timedelta(minutes=5, seconds=1))

    assert failed() == {"scheduler": "Last ran 5 min ago; check the scheduler and the housekeeping worker."}


def test_housekeeping_tasks_record_their_outcome():
    HousekeepingJob.objects.all().delete()

    for job in ("queue_due_runs", "close_lost_runs", "delete_expired_payloads", "prune_logs"):
        getattr(tasks, job)()

    assert dict(HousekeepingJob.objects.values_list("name", "outcome")) == {
        "queue_due_runs": {"queued": 0, "skipped": 0},
        "close_lost_runs": {"closed": 0, "sent_again": 0},
        "delete_expired_payloads": {"deleted": 0, "failed": 0},
        "prune_logs": {"runs": 0, "lines": 0},
    }


def test_old_spool_of_an_ended_run_is_reported():
    spool_of(make_run(), age=timedelta(minutes=6))
    spool_of(make_run(status=Run.Status.RUNNING), age=timedelta(minutes=6))
    spool_of(make_run())

    assert failed() == {
        "spool": "1 logs of ended runs are not in the database yet; see the log of the housekeeping worker."
    }


def test_unwritable_spool_folder_is_reported(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file" / "spool"

    assert failed() == {"spool": "Does not respond (NotADirectoryError)."}


def test_full_disk_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 10**18)

    assert list(failed()) == ["spool"]


def test_payload_store_that_changes_data_is_reported(monkeypatch):
    save = FileSystemStorage.save
    monkeypatch.setattr(
        FileSystemStorage,
        "save",
        lambda self, name, content: save(self, name, type(content)(b"other")),
    )

    assert failed(is_thorough=True) == {"payload_store": "Read back different data than was written."}
    assert storages["payloads"].listdir("payloads/probe") == ([], [])


def test_real_bucket_is_probed_and_left_unchanged(s3_payloads, s3_server, settings):
    assert failed(is_thorough=True) == {}
    assert s3_server.client().list_objects_v2(Bucket=s3_payloads)["KeyCount"] == 0

    store = settings.STORAGES["payloads"]
    settings.STORAGES = settings.STORAGES | {
        "payloads": store | {"OPTIONS": store["OPTIONS"] | {"bucket_name": "no-such-bucket"}}
    }

    assert failed() == {"payload_store": "Does not respond (ClientError)."}


def test_wrong_clock_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "database_now", lambda: timezone.now() - timedelta(seconds=30))
    HousekeepingJob.objects.update(last_run_at=Now() - timedelta(seconds=30))

    assert list(failed()) == ["clock"]


@pytest.mark.parametrize(("minutes", "names"), [(14, []), (16, ["expiry"])])
def test_expired_payloads_that_stay_are_reported(minutes, names):
    make_payload(expires_at=timezone.now() - timedelta(minutes=minutes))
    make_payload(expires_at=timezone.now() - timedelta(days=1), status=Payload.Status.LOST)

    assert list(failed()) == names


def test_local_payload_folder_with_several_hosts_is_reported():
    for worker in ("alpha:1", "alpha:2"):
        make_run(worker=worker)
    assert failed() == {}

    make_run(worker="beta:1")

    assert failed() == {
        "payload_store": "A local folder, but several hosts execute runs: alpha, beta. "
        "Use S3 (AWS_STORAGE_BUCKET_NAME)."
    }


def test_missing_migrations_are_the_only_reported_failure(tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "SYNCLOG_DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}",
    }

    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout.splitlines() == ["FAILED Database: Migrations are missing; run “manage.py migrate”."]
    assert "Traceback" not in done.stderr
