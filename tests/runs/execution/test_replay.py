"""Replays: runs that read the stored pull payloads of an earlier run instead of the source."""

import gzip
import hashlib
import json
import zipfile
from datetime import timedelta
from io import BytesIO

import pytest
import zstandard
from django.core.exceptions import ValidationError
from django.db.models.functions import Now

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import LogEntry, Payload, Run
from tests.factories import make_connection, make_payload, make_run
from tests.systems import service_between, systems
from tests.workbooks import row, workbook

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
ORDERS = [{"id": number} for number in range(1, 26)]


@pytest.fixture
def world():
    with systems(ORDERS) as world:
        yield world


@pytest.fixture
def service(world):
    return service_between(world)


def zipped(*members):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def execute(service, **arguments):
    run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL, **arguments).pk, worker="test")
    assert run is not None
    return run


def messages(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("message", flat=True))


def test_replay_reads_stored_pages_instead_of_the_source(service, world):
    original = execute(service, store=["pull"])
    first = [json.loads(body) for body in world.received]
    world.received.clear()
    # The source does not respond, and the script has changed since.
    world.may_respond.clear()
    service.set_script("def transform(records):\n    return [{'number': r['id']} for r in records]\n")

    replay = execute(service, replay_of=original, store=["pull"])

    assert (replay.status, replay.pulled_count, replay.pushed_count) == ("succeeded", 25, 25)
    assert replay.replay_of == original
    assert [json.loads(body) for body in world.received] == [
        [{"number": record["id"]} for record in page] for page in first
    ]
    pulled = [message for message in messages(replay) if message.startswith("Pulled")]
    assert pulled == [
        f"Pulled page {number}: {count} records from pull-page-{number:05d}.json, stored by run {original.pk}"
        for number, count in ((1, 10), (2, 10), (3, 5))
    ]
    checksums = {run: [p.sha256 for p in run.payloads.order_by("name")] for run in (original, replay)}
    assert checksums[original] == checksums[replay]


def test_replay_reads_files_with_current_options(service, settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path]
    drop = make_connection(kind="file", url=f"file://{tmp_path}/drop")
    (tmp_path / "drop" / "in").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "drop" / "in" / f"{name}.csv").write_text("id\n1\n2\n3\n")
    service.source_connection = drop
    service.source_options = {"path": "in/*.csv", "format": "csv", "page_size": 2}
    service.save()
    original = execute(service, store=["pull"])
    for path in (tmp_path / "drop" / "in").iterdir():
        path.unlink()

    replay = execute(service, replay_of=original, options={"page_size": "3"})

    assert (original.status, original.pulled_count) == ("succeeded", 6)
    assert (replay.status, replay.pulled_count, replay.pushed_count) == ("succeeded", 6, 6)
    assert len([message for message in messages(replay) if message.startswith("Pulled")]) == 2


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", "sku;id\nÄ;1\nB;2\n".encode("cp1252"), {"csv": {"encoding": "cp1252"}}),
        ("a.tsv.gz", gzip.compress(b"sku\tid\nA\t1\nB\t2\n"), {}),
        ("a.csv.zip", zipped(("a.csv", b"id\n1\n"), ("b.csv", b"id\n2\n")), {}),
        ("a.dat", zstandard.compress(b'[{"id": 1}, {"id": 2}]'), {"format": "json", "compression": "zstd"}),
        ("a.xml", b"<x><order><id>1</id></order><order><id>2</id></order></x>", {"xml": {"record": "order"}}),
        ("a.xlsx", workbook({"Orders": [row(1, "id"), row(2, 1), row(3, 2)]}), {}),
        ("a.xlsx.gz", gzip.compress(workbook({"Orders": [row(1, "id"), row(2, 1), row(3, 2)]})), {}),
    ],
    ids=["cp1252", "gzip", "zip", "zstd", "xml", "xlsx", "xlsx in gzip"],
)
def test_replay_reads_files_of_every_format(service, settings, tmp_path, name, content, options):
    settings.FILE_ROOTS = [tmp_path]
    (tmp_path / name).write_bytes(content)
    service.source_connection = make_connection(kind="file", url=f"file://{tmp_path}")
    service.source_options = {"path": name, **options}
    service.save()
    original = execute(service, store=["pull", "script"])
    (tmp_path / name).unlink()

    replay = execute(service, replay_of=original, store=["pull", "script"])

    assert (original.status, original.pulled_count) == ("succeeded", 2)
    assert (replay.status, replay.pulled_count, replay.pushed_count) == ("succeeded", 2, 2)
    first, second = (run.payloads.filter(kind="pull").order_by("name") for run in (original, replay))
    assert [(p.name, p.content_type, p.sha256) for p in first] == [
        (p.name, p.content_type, p.sha256) for p in second
    ]
    assert first[0].sha256 == hashlib.sha256(content).hexdigest()


def test_replay_fails_if_current_options_match_no_list(service):
    original = execute(service, store=["pull"])
    service.source_options = service.source_options | {"records": "data.items"}
    service.save()

    replay = execute(service, replay_of=original)

    assert replay.status == "failed"
    assert "The JMESPath “data.items” matches no list in pull-page-00001.json, stored by run" in replay.error


def test_replay_fails_if_a_page_has_expired(service):
    original = execute(service, store=["pull"])
    run = queue_run(service, trigger=Run.Trigger.MANUAL, replay_of=original)
    Payload.objects.update(expires_at=Now() - timedelta(seconds=1))

    ended = execute_run(run.pk, worker="test")

    assert (ended.status, ended.pulled_count) == ("failed", 0)
    assert ended.error.startswith(
        f"pull-page-00001.json of run {original.pk} cannot be read: The payload is expired"
    )


def rejection_of(service, original):
    with pytest.raises(ValidationError) as caught:
        queue_run(service, trigger=Run.Trigger.MANUAL, replay_of=original)
    assert list(caught.value.message_dict) == ["replay_of"]
    assert Run.objects.filter(status="queued").count() == 0
    return caught.value.message_dict["replay_of"][0]


def test_replay_of_another_service_is_rejected(service):
    assert rejection_of(service, make_run()).endswith("belongs to another service.")


def test_replay_of_open_run_is_rejected(service):
    assert rejection_of(service, make_run(service, status="running")).endswith("is still open.")


def test_replay_without_stored_pages_is_rejected(service):
    original = make_run(service, store_pull=True)
    make_payload(original, name="pull-failed-response.json")

    assert rejection_of(service, original) == f"Run {original.pk} stored no pull payloads."


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"expires_at": Now() - timedelta(seconds=1)}, "expired"),
        ({"status": "deleted", "deleted_at": Now()}, "deleted"),
        ({"status": "lost"}, "lost"),
    ],
)
def test_replay_with_unavailable_pages_is_rejected(service, change, state):
    original = execute(service, store=["pull"])
    Payload.objects.filter(name="pull-page-00002.json").update(**change)

    assert rejection_of(service, original) == (
        f"1 of 3 pull payloads of run {original.pk} can no longer be read ({state})."
    )


def test_payload_beyond_size_limit_is_not_stored_and_reported(service, settings):
    settings.MAX_PAYLOAD_BYTES = 150

    run = execute(service, store=["pull"])

    assert (run.status, run.pushed_count) == ("succeeded", 25)
    payloads = list(run.payloads.listed().values_list("name", "status").order_by("name"))
    assert ("pull-page-00003.json", "stored") in payloads
    assert [name for name, status in payloads if status == "stored"] == ["pull-page-00003.json"]
    pulled = [message for message in messages(run) if message.startswith("Pulled page 1")]
    assert "pull-page-00001.json could not be stored: it is larger than" in pulled[0]
    assert "SYNCLOG_MAX_PAYLOAD_MIB" in pulled[0]
