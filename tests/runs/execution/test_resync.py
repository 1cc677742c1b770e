"""Resync: a new run that is limited to some records of an earlier run."""

import json
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.functions import Now

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.execution.resync import MAX_KEYS, IdempotencyKeyConflict, queue_resync, refusal_of_stored
from apps.runs.models import LogEntry, Payload, Record, RecordSelection, Run
from tests.factories import make_run, make_service, make_user
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
REFUSED = Record.Outcome.REFUSED


@pytest.fixture
def world():
    with systems([{"id": number, "n": 1} for number in range(1, 26)]) as world:
        world.refused = [b'"id": 7,', b'"id": 17,']
        yield world


@pytest.fixture
def service(world):
    return service_between(world, destination_options={"path": "/stock", "batch_size": 1}, max_attempts=1)


@pytest.fixture
def original(service, world):
    """A run whose records 7 and 17 were refused; now the destination accepts them."""
    run = execute(queue_run(service, trigger=Run.Trigger.MANUAL, store=["pull"]))
    world.refused = []
    world.received.clear()
    world.sent.clear()
    return run


def execute(run):
    ended = execute_run(run.pk, worker="test")
    assert ended is not None
    return ended


def received(world):
    return [json.loads(body) for body in world.received]


def outcomes(run):
    return {record.key: Record.Outcome(record.outcome).slug for record in Record.objects.filter(run=run)}


def resolved_by(run, key):
    return Record.objects.with_resolution().get(run=run, key=key).resolved_by


def messages(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("message", flat=True))


def expire_payloads():
    Payload.objects.update(expires_at=Now())


def refusal(original, **how):
    with pytest.raises(ValidationError) as caught:
        queue_resync(original, user=None, **how)
    assert not Run.objects.open().exists()
    [(field, [message])] = caught.value.message_dict.items()
    return field, message


def test_refused_records_are_sent_again_as_they_were_stored(original, world):
    for record in world.records:
        record["n"] = 2
    world.may_respond.clear()

    queued = queue_resync(original, user=None, outcome=REFUSED)
    assert (resolved_by(original, "7"), queued.trigger, queued.retry_of) == (None, "retry", original)
    resync = execute(queued)

    assert received(world) == [{"id": 7, "n": 1}, {"id": 17, "n": 1}]
    assert (resync.status, resync.replay_of, outcomes(resync)) == (
        *("succeeded", original),
        {"7": "pushed", "17": "pushed"},
    )
    assert [resolved_by(original, key) for key in ("7", "17", "8")] == [resync.pk, resync.pk, None]


@pytest.mark.parametrize("record_path", ["", "/orders/{key}"])
def test_records_are_pulled_again(original, service, world, record_path):
    service.source_options |= {"record_path": record_path}
    service.save()
    world.records[6]["n"] = 2

    resync = execute(queue_resync(original, user=None, keys=[7, "17", "7"], origin="source"))

    assert sorted(received(world), key=lambda record: record["id"]) == [{"id": 7, "n": 2}, {"id": 17, "n": 1}]
    assert resync.replay_of is None
    assert resync.pulled_count == (2 if record_path else 25)


def test_expired_payloads_are_pulled_again_by_default_and_refused_on_demand(original):
    expire_payloads()

    assert refusal_of_stored(original) is not None
    assert refusal(original, keys=["7"], origin="stored") == (
        "from",
        f"3 of 3 pull payloads of run {original.pk} can no longer be read (expired). "
        "Pull the records again (“source”).",
    )
    assert queue_resync(original, user=None, keys=["7"]).replay_of is None


def test_what_cannot_be_sent_again_is_refused(original, service):
    reported = make_run(make_service(kind="reported", source_connection=None, destination_connection=None))
    many = [str(number) for number in range(100_000)]

    assert refusal(original, keys=many) == ("keys", "Too many records; select at most 10,000.")
    assert refusal(original, keys=["7", "8a", "x"]) == ("keys", f"Run {original.pk} has no records 8a, x.")
    assert refusal(original, keys=["", None]) == ("keys", "No record is selected; select at least one.")
    assert refusal(original, outcome=Record.Outcome.DROPPED) == (
        "outcome",
        f"Run {original.pk} has no records with the outcome “dropped”.",
    )
    assert refusal(reported, keys=["7"], origin="stored")[0] == "service"
    Record.objects.bulk_create(
        Record(run=original, key=f"k{n}", outcome=REFUSED, recorded_at=original.finished_at,
               sequence=1, page=1, batch=1, step=4)
        for n in range(MAX_KEYS)
    )  # fmt: skip
    field, message = refusal(original, outcome=REFUSED)
    assert (field, message[:50]) == ("outcome", "More than 10,000 records have this outcome. Resync")


def test_records_of_an_open_run_are_refused(service):
    run = make_run(service, status="running")

    with pytest.raises(ValidationError, match="still open; wait until it has ended"):
        queue_resync(run, user=None, keys=["7"])


def test_simultaneous_calls_start_one_run(original):
    users = [make_user() for _index in range(4)]
    barrier = threading.Barrier(4)
    found = []

    def click(user):
        barrier.wait()
        found.append(queue_resync(original, user=user, outcome=REFUSED).pk)
        connection.close()

    threads = [threading.Thread(target=click, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [Run.objects.open().get().pk] * 4


def test_record_that_another_run_is_sending_is_refused(original, service, world):
    world.refused = [b'"id": 7,']
    later = execute(queue_run(service, trigger=Run.Trigger.MANUAL))
    sending = queue_resync(original, user=None, outcome=REFUSED)

    for run, keys in ((original, ["7", "8"]), (later, ["7"])):
        with pytest.raises(ValidationError, match=f"Run {sending.pk} is sending record 7 again; wait until"):
            queue_resync(run, user=None, keys=keys)
    assert queue_resync(later, user=None, keys=["7"], is_dry_run=True) != sending
    execute(sending)
    assert queue_resync(later, user=None, keys=["7"]).selection.keys == ["7"]


def test_repeated_idempotency_key_returns_its_run(original, service):
    user = make_user()

    def call(key="k", **how):
        return queue_resync(original, user=user, idempotency_key=key, **how)

    run = execute(call(keys=["7", 17]))
    expire_payloads()

    assert call(keys=["17", "7"]) == run
    assert call(keys=["17", "7"], origin="stored") == run
    # The other records of this outcome are those.
    assert call(outcome=REFUSED) == run
    for other in (
        {"keys": ["7"]},
        {"keys": ["7", "17"], "origin": "source"},
        {"keys": ["7", "17"], "is_dry_run": True},
        {"outcome": Record.Outcome.PUSHED},
    ):
        with pytest.raises(IdempotencyKeyConflict):
            call(**other)
    assert call(key="other", keys=["7"]) != run

    started = queue_run(service, trigger=Run.Trigger.API, user=user, idempotency_key="start")
    with pytest.raises(IdempotencyKeyConflict):
        call(key="start", keys=["7"])
    assert not RecordSelection.objects.filter(run=started).exists()


def test_dry_run_pushes_and_resolves_nothing(original, world):
    resync = execute(queue_resync(original, user=None, outcome=REFUSED, is_dry_run=True))

    assert (resync.status, outcomes(resync)) == ("succeeded", {"7": "pulled", "17": "pulled"})
    assert (received(world), resolved_by(original, "7")) == ([], None)


def test_refused_again_does_not_resolve_and_can_be_repeated(original, world):
    world.refused = [b'"id": 7,']

    again = execute(queue_resync(original, user=None, outcome=REFUSED))
    assert (outcomes(again), resolved_by(original, "7")) == ({"7": "refused", "17": "pushed"}, None)
    world.refused = []
    world.received.clear()
    third = execute(queue_resync(again, user=None, outcome=REFUSED))

    # The second run has stored no payloads of its own.
    assert third.replay_of == original
    assert received(world) == [{"id": 7, "n": 1}]
    assert {resolved_by(original, "7"), resolved_by(again, "7")} == {third.pk}


def test_automatic_retry_keeps_the_selection_and_skips_what_was_accepted(original, service, world):
    service.retry_limit = 1
    service.save()
    between = execute(queue_run(service, trigger=Run.Trigger.MANUAL, options={"record_id": "7"}))
    world.received.clear()
    world.before_response = lambda _body: 500

    failed = execute(queue_resync(original, user=None, keys=["7", "17", "18"]))
    retry = Run.objects.get(retry_of=failed)
    Run.objects.filter(pk=retry.pk).update(due_at=Now())
    world.received.clear()
    world.before_response = lambda _body: None
    retry = execute(retry)

    assert (failed.status, retry.status) == ("failed", "succeeded")
    assert retry.selection.keys == ["17", "18", "7"]
    assert received(world) == [{"id": 17, "n": 1}]
    assert outcomes(retry) == {"7": "skipped", "17": "pushed", "18": "skipped"}
    assert f"Record 7 is skipped: run {between.pk} has pushed it" in messages(retry)
    assert resolved_by(original, "17") == retry.pk
