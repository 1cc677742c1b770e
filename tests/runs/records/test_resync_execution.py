"""Execution of a resync: which records are processed, and which are left out."""

import json

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.execution.resync import queue_resync
from apps.runs.models import LogEntry, Record, Run
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
RENAME = "def transform(records):\n    return [{'sku': 'S%d' % r['id']} for r in records]\n"


@pytest.fixture
def world():
    with systems([{"id": number} for number in range(1, 26)]) as world:
        yield world


def run_now(run):
    ended = execute_run(run.pk, worker="test")
    assert ended is not None
    return ended


def first_run(service):
    return run_now(queue_run(service, trigger=Run.Trigger.MANUAL, store=["pull"]))


def outcomes(run):
    return {record.key: Record.Outcome(record.outcome).slug for record in Record.objects.filter(run=run)}


def messages(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("message", flat=True))


@pytest.mark.parametrize("origin", ["stored", "source"])
def test_key_that_only_the_script_returns_is_sent_again(world, origin):
    service = service_between(
        world,
        script=RENAME,
        destination_options={"path": "/stock", "batch_size": 1, "id_field": "sku"},
    )
    world.refused = [b'"S13"']
    original = first_run(service)
    assert outcomes(original)["S13"] == "refused"
    world.refused = []
    world.received.clear()

    resync = run_now(queue_resync(original, user=None, outcome=Record.Outcome.REFUSED, origin=origin))

    assert (resync.trigger, resync.retry_of, resync.status) == ("retry", original, "succeeded")
    assert [json.loads(body) for body in world.received] == [{"sku": "S13"}]
    assert outcomes(resync) == {"S13": "pushed"}
    [refused] = Record.objects.filter(run=original, key="S13").with_resolution()
    assert refused.resolved_by == resync.pk


def test_dropped_record_gets_another_chance(world):
    service = service_between(world, script="def transform(records):\n    return []\n")
    original = first_run(service)
    service.set_script(RENAME)
    service.destination_options |= {"id_field": "sku"}
    service.save()
    world.received.clear()

    resync = run_now(queue_resync(original, user=None, keys=["7"]))

    assert [json.loads(body) for body in world.received] == [[{"sku": "S7"}]]
    assert outcomes(resync) == {"7": "dropped", "S7": "pushed"}


def test_accepted_and_missing_records_are_listed(world):
    service = service_between(world, destination_options={"path": "/stock", "batch_size": 1})
    world.refused = [b'"id": 7}', b'"id": 8}', b'"id": 9}']
    original = first_run(service)
    world.refused = []
    between = run_now(queue_run(service, trigger=Run.Trigger.MANUAL, options={"record_id": "8"}))
    world.records = [record for record in world.records if record["id"] != 9]
    world.received.clear()

    resync = run_now(queue_resync(original, user=None, keys=[7, "8", "9"], origin="source"))

    assert [json.loads(body) for body in world.received] == [{"id": 7}]
    assert outcomes(resync) == {"7": "pushed", "8": "skipped"}
    assert f"Resync of 3 records of run {original.pk}: 7, 8, 9" in messages(resync)
    assert f"Record 8 is skipped: run {between.pk} has pushed it" in messages(resync)
    assert "Records of the selection that the source did not contain: 9" in messages(resync)
