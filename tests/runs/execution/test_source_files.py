"""New files only, and files that are moved or deleted after a run: local, on S3 and over SFTP."""

import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import batched
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.execution.resync import queue_resync
from apps.runs.execution.source_files import SourceFiles
from apps.runs.log.run_log import RunLog
from apps.runs.models import LogEntry, Run, SourceFile
from apps.runs.recovery.lost_runs import close_lost_runs
from apps.services.connectors.base import FileInfo
from tests.factories import make_connection, make_run, make_service
from tests.sftp import PASSWORD, USER, sftp_server
from tests.systems import Systems, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
MOVED = {"after": {"move_to": "done/"}}
DELETED = {"after": {"delete": True}}
NEW = {"only_new": True}


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    settings.FILE_ROOTS = [root]
    return root


@pytest.fixture
def world() -> Iterator[Systems]:
    with systems([]) as world:
        yield world


@pytest.fixture
def make(root, world):
    """Creates a service from the files in `in` to an HTTP system, one record a request."""

    def make(connection=None, **options):
        return make_service(
            source_connection=connection or make_connection(kind="file", url=f"file://{root}"),
            source_options={"path": "in/*.csv", **options},
            destination_connection=make_connection(url=world.url),
            destination_options={"path": "/stock", "batch_size": 1},
        )

    return make


def write(root, *ids, name=None):
    """Writes a file for each id, with one record."""
    for number in ids:
        (root / "in" / (name or f"{number}.csv")).write_text(f"id\n{number}\n")


def execute(service, **arguments):
    run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL, **arguments).pk, worker="test")
    assert run is not None
    return run


def lines(run, level=None):
    entries = LogEntry.objects.filter(run_id=run.pk, **({"level": level} if level else {}))
    return list(entries.order_by("sequence").values_list("message", flat=True))


def received(world):
    """Takes the ids of the records that were pushed."""
    ids = [int(json.loads(body)["id"]) for body in world.received]
    world.received.clear()
    return ids


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_only_new_files_are_read(make, root, world):
    service = make(**NEW)
    write(root, 1, 2)

    first, again = execute(service), execute(service)
    write(root, 3)
    third = execute(service)

    assert (first.pulled_count, again.pulled_count, third.pulled_count) == (2, 0, 1)
    assert received(world) == [1, 2, 3]
    assert "2 files left out: already read by an earlier run" in lines(again)
    assert (again.status, again.warning_count) == ("succeeded", 0)


def test_changed_file_is_new(make, root, world):
    service = make(**NEW)
    write(root, 1)
    execute(service)

    # Of the same size, a minute later.
    write(root, 2, name="1.csv")
    os.utime(root / "in" / "1.csv", (time.time() + 60,) * 2)
    execute(service)

    assert received(world) == [1, 2]


def test_files_of_failed_run_are_read_again_and_stay(make, root, world):
    service = make(**NEW, **MOVED)
    write(root, 1, 2)
    (root / "in" / "3.csv").write_text("id\n3,4\n")

    failed = execute(service)
    (root / "in" / "3.csv").write_text("id\n3\n")
    stayed = names(root)
    execute(service)

    assert failed.status == "failed"
    assert stayed == ["in/1.csv", "in/2.csv", "in/3.csv"]
    assert received(world) == [1, 2, 1, 2, 3]
    assert names(root) == ["done/1.csv", "done/2.csv", "done/3.csv"]


@pytest.mark.parametrize("options", [NEW, MOVED, DELETED])
def test_dry_run_leaves_files_and_does_not_record_them(make, root, world, options):
    service = make(**options)
    write(root, 1)

    dry = execute(service, is_dry_run=True)

    assert (dry.status, dry.pulled_count) == ("succeeded", 1)
    assert names(root) == ["in/1.csv"]
    assert SourceFile.objects.count() == 0
    assert execute(service).pulled_count == 1


def test_dry_run_leaves_out_files_that_were_read(make, root):
    service = make(**NEW)
    write(root, 1)
    execute(service)

    assert execute(service, is_dry_run=True).pulled_count == 0


@pytest.mark.parametrize("origin", ["source", "stored"])
def test_resync_and_replay_leave_files_and_read_those_that_were_read(make, root, world, origin):
    service = make(**NEW)
    write(root, 1, 2)
    original = execute(service, store=["pull"])
    service.source_options |= MOVED
    service.save()
    world.received.clear()

    Run.objects.filter(pk=original.pk).update(started_at=Now() - timedelta(days=1))
    queued = queue_resync(original, user=None, keys=["2"], origin=origin, is_dry_run=True)
    resync = execute_run(queued.pk, worker="test")

    assert (resync.status, resync.pulled_count) == ("succeeded", 2)
    assert names(root) == ["in/1.csv", "in/2.csv"]


def test_run_of_one_record_reads_all_files_and_leaves_them(make, root, world):
    service = make(**NEW, **MOVED)
    write(root, 1, 2)

    run = execute(service, options={"record_id": "2"})

    assert (run.pulled_count, received(world)) == (2, [2])
    assert names(root) == ["in/1.csv", "in/2.csv"]
    assert execute(service).pulled_count == 2


def test_young_files_are_left_for_a_later_run(make, root, world):
    service = make(min_age_seconds=60, **MOVED)
    write(root, 1, 2)
    os.utime(root / "in" / "1.csv", (time.time() - 61,) * 2)

    run = execute(service)

    assert received(world) == [1]
    assert names(root) == ["done/1.csv", "in/2.csv"]
    assert "1 file left out: changed less than 60 s ago" in lines(run)


def test_files_are_moved_after_success_and_each_is_a_line(make, root):
    service = make(**MOVED)
    write(root, 1, 2)

    run = execute(service)

    assert names(root) == ["done/1.csv", "done/2.csv"]
    assert {"in/1.csv moved to done/1.csv", "in/2.csv moved to done/2.csv"} <= {*lines(run)}
    assert (run.status, run.warning_count, run.is_complete) == ("succeeded", 0, True)
    assert SourceFile.objects.count() == 0


def test_files_are_deleted_after_success(make, root):
    service = make(**DELETED)
    write(root, 1)

    run = execute(service)

    assert names(root) == []
    assert "in/1.csv deleted" in lines(run)


def test_existing_target_is_kept_and_the_run_number_appended(make, root):
    service = make(path="in/*.csv*", format="csv", **MOVED)
    (root / "done").mkdir()
    (root / "done" / "1.csv").write_text("earlier")
    write(root, 1)

    run = execute(service)

    assert (root / "done" / "1.csv").read_text() == "earlier"
    assert (root / "done" / f"1-{run.pk}.csv").read_text() == "id\n1\n"
    assert f"in/1.csv moved to done/1-{run.pk}.csv" in lines(run)


def test_files_in_the_target_are_not_read_again(make, root, world):
    service = make(path="**/*.csv", **MOVED)
    write(root, 1)

    runs = execute(service), execute(service)

    assert [run.pulled_count for run in runs] == [1, 0]
    assert names(root) == ["done/1.csv"]


def test_file_that_cannot_be_moved_is_a_warning_and_moved_later(make, root, world):
    service = make(**MOVED)
    write(root, 1)
    # No folder can be created here.
    (root / "done").write_text("a file")

    first, again = execute(service), execute(service)
    (root / "done").unlink()
    third = execute(service)

    assert [run.status for run in (first, again, third)] == ["succeeded"] * 3
    assert [run.warning_count for run in (first, again, third)] == [1, 1, 0]
    assert received(world) == [1]
    [warning] = lines(first, level=30)
    assert "a file stays where it is: in/1.csv cannot be moved to done/1.csv: File exists" in warning
    assert names(root) == ["done/1.csv"]


def test_read_only_folder_on_sftp_is_a_warning(make, root, monkeypatch):
    write(root, *range(1, 30))
    monkeypatch.setattr("tests.sftp._Files.remove", lambda *_arguments: paramiko.SFTP_PERMISSION_DENIED)

    with sftp_server(root) as port:
        login = {"auth": "basic", "auth_username": USER, "secret": PASSWORD}
        run = execute(make(make_connection(kind="file", url=f"sftp://127.0.0.1:{port}/", **login), **DELETED))

    warnings = lines(run, level=30)
    assert run.status == "succeeded"
    assert warnings[0] == (
        "The run has succeeded, but a file stays where it is: in/1.csv cannot be deleted: Permission denied."
    )
    assert warnings[20:] == ["The other files stay as well; the next run tries again"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "in/1.csv disappeared while it was read"),
        (
            lambda file: file.open("a").write("2\n"),
            "in/1.csv changed its size from 5 to 7 bytes while it was read",
        ),
        (
            lambda file: (
                file.with_suffix(".new").write_text("id\n9\n"),
                file.with_suffix(".new").replace(file),
            ),
            "in/1.csv was replaced while it was read",
        ),
    ],
    ids=["disappears", "grows", "is replaced"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_file_that_changes_while_it_is_read_fails_the_run(make, root, world, change, message):
    service = make(**NEW, **MOVED)
    write(root, 0, 1)
    changed = []

    def before_response(body):
        if b'"1"' in body and not changed:
            changed.append(change(root / "in" / "1.csv"))

    world.before_response = before_response

    run = execute(service)

    assert run.status == "failed"
    assert message in run.error
    assert "done" not in {path.name for path in root.iterdir()}


def test_file_that_changes_after_it_was_read_stays(make, root, world):
    service = make(**MOVED)
    write(root, 1, 2)
    world.before_response = lambda body: write(root, 10, name="1.csv") if b'"2"' in body else None

    first, second = execute(service), execute(service)

    assert "in/1.csv has changed since it was read and stays for the next run" in lines(first)
    assert (first.status, second.status) == ("succeeded", "succeeded")
    assert received(world) == [1, 2, 10]
    assert names(root) == ["done/1.csv", "done/2.csv"]


def test_concurrent_runs_never_read_the_same_file(make, root, world):
    service = make(**NEW)
    write(root, *range(1, 41))
    runs = []

    def execute_in_thread():
        try:
            runs.append(execute(service))
        finally:
            connection.close()

    threads = [threading.Thread(target=execute_in_thread) for _number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {run.status for run in runs} == {"succeeded"}
    assert sorted(received(world)) == list(range(1, 41))


def test_files_of_a_running_run_are_left_out(make, root, world):
    service = make(**NEW)
    write(root, 1)
    during = []

    def before_response(_body):
        if not during:
            during.append(None)
            try:
                during[0] = execute(service)
            finally:
                connection.close()

    world.before_response = before_response
    execute(service)

    assert during[0].pulled_count == 0
    assert "1 file left out: another run of the service is reading them" in lines(during[0])


def test_files_of_a_lost_run_are_read_again(make, root, world, monkeypatch):
    service = make(**NEW, **MOVED)
    write(root, 1)

    def die(*_arguments):
        raise KeyboardInterrupt

    run = queue_run(service, trigger=Run.Trigger.MANUAL)
    with monkeypatch.context() as patch:
        patch.setattr("apps.runs.execution.pipeline.Pipeline._pushed", die)
        with pytest.raises(KeyboardInterrupt):
            execute_run(run.pk, worker="test")
    meanwhile = execute(service)
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
    close_lost_runs(worker="test")
    run.refresh_from_db()

    assert (run.status, meanwhile.pulled_count) == ("lost", 0)
    assert execute(service).pulled_count == 1


def test_worker_that_dies_between_success_and_moving_leaves_it_to_the_next_run(
    make, root, world, monkeypatch
):
    service = make(**MOVED)
    write(root, 1)

    def die(*_arguments):
        raise KeyboardInterrupt

    run = queue_run(service, trigger=Run.Trigger.MANUAL)
    with monkeypatch.context() as patch:
        patch.setattr("apps.runs.execution.source_files.file_action", die)
        with pytest.raises(KeyboardInterrupt):
            execute_run(run.pk, worker="test")
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
    close_lost_runs(worker="test")
    run.refresh_from_db()
    next_run = execute(service)

    assert (run.status, next_run.pulled_count) == ("succeeded", 0)
    assert received(world) == [1]
    assert names(root) == ["done/1.csv"]


def test_run_that_is_cancelled_while_it_moves_files_has_succeeded(make, root, world, monkeypatch):
    service = make(**MOVED)
    write(root, 1)
    record_end = RunLog.record_end

    def cancel(log, *arguments, **named):
        monkeypatch.setattr(RunLog, "cancel_requested", True)
        record_end(log, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "record_end", cancel)
        first = execute(service)
    monkeypatch.setattr(RunLog, "cancel_requested", False)
    second = execute(service)

    assert (first.status, first.warning_count) == ("succeeded", 1)
    assert received(world) == [1]
    assert (second.pulled_count, names(root)) == (0, ["done/1.csv"])


def test_files_that_are_gone_are_forgotten_after_a_week(make, root):
    service = make(**NEW)
    write(root, 1, 2)
    execute(service)
    (root / "in" / "2.csv").unlink()
    SourceFile.objects.update(listed_at=timezone.now() - timedelta(days=8))

    execute(service)

    assert list(SourceFile.objects.values_list("name", flat=True)) == ["in/1.csv"]


def test_empty_folder_forgets_nothing(make, root):
    service = make(**NEW)
    write(root, 1)
    execute(service)
    SourceFile.objects.update(listed_at=timezone.now() - timedelta(days=8))
    (root / "in").rename(root / "unmounted")

    run = execute(service)

    assert (run.status, run.warning_count) == ("succeeded", 0)
    assert SourceFile.objects.count() == 1


def test_large_folder_is_looked_up_in_batches(make, django_assert_num_queries):
    run = make_run(make(**NEW), status="running")
    log = SimpleNamespace(read_from_database=lambda read: read())
    files = [FileInfo(f"in/{number}.csv", 1, 1) for number in range(2000)]

    first = SourceFiles(run, log)
    assert sum(len(first.claim(batch)) for batch in batched(files, 500)) == 2000
    Run.objects.filter(pk=run.pk).update(status="succeeded", finished_at=Now())
    SourceFile.objects.record_read(run)

    again = SourceFiles(make_run(run.service, status="running"), log)
    # The lookup, and the time of the listing.
    with django_assert_num_queries(4 * 2):
        assert [again.claim(batch) for batch in batched(files, 500)] == [set()] * 4


@pytest.fixture(params=["s3", "sftp"])
def remote(request, root, monkeypatch):
    """A connection to a server with two files, and a function that lists the names of its files."""
    contents = {f"in/a[{number}].csv": f"id\n{number}\n".encode() for number in (1, 2)}
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", server.region)
        bucket, client = server.create_bucket(), server.client()
        for name, body in contents.items():
            client.put_object(Bucket=bucket, Key=name, Body=body)
        login = {"auth_username": server.access_key, "secret": server.secret_key}
        yield (
            make_connection(kind="file", url=f"s3://{bucket}", auth="basic", **login),
            lambda: [item["Key"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", ())],
        )
        return
    served = root / "served"
    (served / "in").mkdir(parents=True)
    for name, body in contents.items():
        (served / name).write_bytes(body)
    with sftp_server(served) as port:
        login = {"auth_username": USER, "secret": PASSWORD}
        yield (
            make_connection(kind="file", url=f"sftp://127.0.0.1:{port}/", auth="basic", **login),
            lambda: names(served),
        )


def test_remote_files_are_read_once(make, remote, world):
    service = make(remote[0], **NEW)

    assert [execute(service).pulled_count for _time in range(2)] == [2, 0]


def test_remote_files_are_moved(make, remote, world):
    service = make(remote[0], **NEW, **MOVED)

    runs = execute(service), execute(service)

    assert [(run.status, run.pulled_count, run.warning_count) for run in runs] == [
        ("succeeded", 2, 0),
        ("succeeded", 0, 0),
    ]
    assert remote[1]() == ["done/a[1].csv", "done/a[2].csv"]


def test_remote_files_are_deleted(make, remote, world):
    run = execute(make(remote[0], **DELETED))

    assert (run.status, run.pulled_count, run.warning_count) == ("succeeded", 2, 0)
    assert remote[1]() == []
