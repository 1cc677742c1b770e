import os
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
from apps.runs.models import Payload, Run, Tick
from apps.runs.monitoring import doctor
from apps.runs.monitoring.doctor import run_checks
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db
NAMES = ["database", "broker", "workers", "scheduler", "spool", "payload_store", "clock", "expiry"]


@pytest.fixture(autouse=True)
def well(settings, tmp_path, monkeypatch):
    """Nothing is wrong; workers and broker are none that these tests start."""
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.STORAGES = settings.STORAGES | {
        "payloads": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "payloads"},
        }
    }
    monkeypatch.setattr(doctor, "check_broker", lambda: None)
    monkeypatch.setattr(doctor, "answering_workers", lambda timeout: ["runs@here"])
    Tick.note("queue_due_runs", queued=0)


def failed(**how):
    return {finding.name: finding.detail for finding in run_checks(**how) if not finding.is_ok}


def spool_of(run, *, age=timedelta()):
    spool = Spool(run.pk)
    spool.open()
    spool.append(b"1\t1\t2026-11-23 07:15:09.000000+00\t20\t2\tline\n")
    spool.close()
    then = time.time() - age.total_seconds()
    os.utime(spool.path, (then, then))


@pytest.mark.parametrize("is_thorough", [False, True])
def test_each_check_is_told_in_a_sentence_where_all_is_well(is_thorough):
    findings = run_checks(is_thorough=is_thorough)

    assert [finding.name for finding in findings] == NAMES
    assert all(finding.is_ok and finding.label and finding.detail.endswith(".") for finding in findings)


def test_the_command_prints_a_line_each_and_fails_where_one_fails(capsys):
    call_command("doctor", no_color=True)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(NAMES)
    assert all(line.startswith("ok     ") for line in lines)

    Tick.objects.all().delete()
    with pytest.raises(CommandError, match=r"Not well: Scheduler\."):
        call_command("doctor", no_color=True)
    assert "FAILED Scheduler: It has never ticked" in capsys.readouterr().out


def test_a_broker_that_is_away_is_told_without_its_address(monkeypatch):
    def fail():
        raise OperationalError("redis://:hunter2@10.0.0.7:6379")

    monkeypatch.setattr(doctor, "check_broker", fail)

    assert failed() == {"broker": "Does not answer (OperationalError)."}


def test_workers_that_do_not_answer_are_told(monkeypatch):
    monkeypatch.setattr(doctor, "answering_workers", lambda timeout: [])

    assert list(failed(is_thorough=True)) == ["workers"]
    assert failed() == {}


def test_runs_that_nobody_takes_are_told():
    make_run(
        status=Run.Status.QUEUED, queued_at=Now() - timedelta(minutes=3), sent_at=Now() - timedelta(minutes=2)
    )

    assert failed() == {"workers": "1 runs wait for longer than two minutes."}


def test_a_scheduler_that_fell_silent_is_told():
    Tick.objects.update(ticked_at=Now() - timedelta(minutes=5, seconds=1))

    assert failed() == {"scheduler": "Its last tick is 5 min old: do beat and the housekeeping worker run?"}


def test_the_housekeeping_leaves_ticks():
    Tick.objects.all().delete()

    for job in ("queue_due_runs", "close_lost_runs", "delete_expired_payloads", "prune_logs"):
        getattr(tasks, job)()

    assert dict(Tick.objects.values_list("name", "outcome")) == {
        "queue_due_runs": {"queued": 0, "skipped": 0},
        "close_lost_runs": {"closed": 0, "sent_again": 0},
        "delete_expired_payloads": {"deleted": 0, "failed": 0},
        "prune_logs": {"runs": 0, "lines": 0},
    }


def test_an_old_spool_of_a_run_that_has_ended_is_told():
    spool_of(make_run(), age=timedelta(minutes=6))
    spool_of(make_run(status=Run.Status.RUNNING), age=timedelta(minutes=6))
    spool_of(make_run())

    assert failed() == {
        "spool": "1 spools of runs that have ended were not shipped; see the housekeeping worker's log."
    }


def test_a_spool_folder_that_cannot_be_written_is_told(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file" / "spool"

    assert failed() == {"spool": "Does not answer (NotADirectoryError)."}


def test_a_full_disk_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 10**18)

    assert list(failed()) == ["spool"]


def test_a_payload_store_that_changes_what_it_takes_is_told(monkeypatch):
    save = FileSystemStorage.save
    monkeypatch.setattr(
        FileSystemStorage,
        "save",
        lambda self, name, content: save(self, name, type(content)(b"other")),
    )

    assert failed(is_thorough=True) == {"payload_store": "It gives back other bytes than it took."}
    assert storages["payloads"].listdir("payloads/probe") == ([], [])


def test_a_real_bucket_is_probed_and_left_as_it_was(s3_payloads, s3_server, settings):
    assert failed(is_thorough=True) == {}
    assert s3_server.client().list_objects_v2(Bucket=s3_payloads)["KeyCount"] == 0

    store = settings.STORAGES["payloads"]
    settings.STORAGES = settings.STORAGES | {
        "payloads": store | {"OPTIONS": store["OPTIONS"] | {"bucket_name": "no-such-bucket"}}
    }

    assert failed() == {"payload_store": "Does not answer (ClientError)."}


def test_a_clock_that_is_off_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "database_now", lambda: timezone.now() - timedelta(seconds=30))
    Tick.objects.update(ticked_at=Now() - timedelta(seconds=30))

    assert list(failed()) == ["clock"]


@pytest.mark.parametrize(("minutes", "names"), [(14, []), (16, ["expiry"])])
def test_expired_payloads_that_stay_are_told(minutes, names):
    make_payload(expires_at=timezone.now() - timedelta(minutes=minutes))
    make_payload(expires_at=timezone.now() - timedelta(days=1), status=Payload.Status.LOST)

    assert list(failed()) == names
