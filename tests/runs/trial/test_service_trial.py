"""Trials: pull, script and push of the first page, without a run and without any effect."""

import time
from contextlib import ExitStack

import pytest
from django.utils import translation

from apps.runs.models import Payload, Run, Step
from apps.runs.trial import service_trial, slots
from apps.runs.trial.service_trial import try_service
from apps.runs.trial.slots import MAX_TRIALS, trial_slot
from apps.services.models import Service
from tests.factories import make_connection
from tests.systems import service_between, systems

# The steps run in another thread, which has a database connection of its own.
pytestmark = pytest.mark.django_db(transaction=True)

RECORDS = [{"id": 10_000 + number, "price": "19.90"} for number in range(25)]


@pytest.fixture
def world():
    with systems(RECORDS) as served:
        yield served


def test_first_page_is_pulled_with_keys_and_next_request(world) -> None:
    trial = try_service(service_between(world), "", Step.PULL)

    assert trial.error == ""
    assert trial.page.records == RECORDS[:10]
    assert trial.keys[0] == "10000"
    assert trial.page.following == f"GET {world.url}/orders?page=2&size=10"
    assert next(line.message for line in trial.lines).startswith(
        f"GET {world.url}/orders?page=1&size=10: 200 OK"
    )
    assert list(world.sent) == [1]


def test_last_page_has_no_next_request(world) -> None:
    service = service_between(world, source_options={"path": "/orders?page=1&size=5"})
    assert try_service(service, "", Step.PULL).page.following == ""


def test_script_shows_output_and_dropped_keys(world) -> None:
    script = "def transform(records):\n    log('%d records' % len(records))\n    return records[2:]\n"
    trial = try_service(service_between(world), script, Step.SCRIPT)

    assert trial.output == RECORDS[2:10]
    assert trial.dropped_keys == ["10000", "10001"]
    assert ("10 records", Step.SCRIPT) in [(line.message, line.step) for line in trial.lines]


def test_error_of_script_names_its_line(world) -> None:
    trial = try_service(
        service_between(world), "def transform(records):\n    return records[99]\n", Step.SCRIPT
    )

    assert trial.error.startswith("The script failed in line 2: ")
    assert (trial.step, trial.output) == (Step.SCRIPT, None)
    assert len(trial.page.records) == 10


def test_push_shows_the_requests_and_sends_nothing(world) -> None:
    service = service_between(world, destination_options={"path": "/stock", "batch_size": 2})
    trial = try_service(service, "", Step.PUSH)

    assert len(trial.outgoing) == 3
    assert trial.has_more_outgoing
    first = trial.outgoing[0]
    assert first.head.splitlines()[0] == f"POST {world.url}/stock"
    assert "Idempotency-Key: synclog-0-1-1" in first.head
    assert first.body == '[{"id": 10000, "price": "19.90"}, {"id": 10001, "price": "19.90"}]'
    assert world.received == []
    assert (Run.objects.count(), Payload.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        ({"auth": "bearer"}, "Authorization: ••••"),
        ({"auth": "basic", "auth_username": "ada"}, "Authorization: ••••"),
        ({"auth": "header", "auth_header": "X-Key"}, "X-Key: ••••"),
        ({"auth": "query", "auth_query": "code"}, "code=••••"),
    ],
)
def test_credentials_are_masked(world, auth, shown) -> None:
    warehouse = make_connection(url=world.url, **auth)
    # Shorter than what is masked in texts.
    warehouse.set_secret("abc")
    warehouse.save()
    trial = try_service(service_between(world, destination_connection=warehouse), "", Step.PUSH)

    assert shown in trial.outgoing[0].head
    assert "abc" not in trial.outgoing[0].head


def test_record_without_field_of_the_path_is_shown_as_not_sent(world) -> None:
    options = {"path": "/items/{sku}", "method": "PUT", "batch_size": 1}
    trial = try_service(service_between(world, destination_options=options), "", Step.PUSH)

    assert trial.outgoing[0].refusal == "The field “sku” of the path is missing in the record."


def test_file_is_shown_and_not_written(world, tmp_path, settings) -> None:
    settings.FILE_ROOTS = [tmp_path]
    drop = make_connection(kind="file", url=f"file://{tmp_path}")
    service = service_between(
        world, destination_connection=drop, destination_options={"path": "out/{run}.csv.gz", "format": "csv"}
    )
    [outgoing] = try_service(service, "", Step.PUSH).outgoing

    assert outgoing.head == "out/0.csv.gz"
    assert outgoing.body.splitlines()[:2] == ["id,price", "10000,19.90"]
    assert list(tmp_path.iterdir()) == []


def test_stored_page_is_the_input(world, tmp_path) -> None:
    from apps.runs.execution.executor import execute_run
    from apps.runs.tasks import start_run

    service = service_between(world)
    run = start_run(service, trigger=Run.Trigger.MANUAL, store=["pull"])
    execute_run(run.pk, worker="test")
    world.sent.clear()

    trial = try_service(service, "", Step.SCRIPT, replay_of=Run.objects.get(pk=run.pk))

    assert trial.page.records == RECORDS[:10]
    assert world.sent == {}


def test_source_that_hangs_ends_at_the_limit(world, monkeypatch) -> None:
    monkeypatch.setattr(service_trial, "MAX_SECONDS", 0.5)
    world.may_respond.clear()
    before = time.monotonic()
    trial = try_service(service_between(world), "", Step.PULL)

    assert trial.error == (
        "The source sent no complete page within 0.5 s, the limit of a preview. Check whether it responds; a smaller "
        "page size may help."
    )
    assert trial.page is None
    assert time.monotonic() - before < 20


def test_endless_script_is_cancelled(world) -> None:
    script = "def transform(records):\n    for a in range(2000000000):\n        pass\n    return records\n"
    started = time.monotonic()
    trial = try_service(
        service_between(world), script, Step.SCRIPT, is_cancelled=lambda: time.monotonic() > started + 0.5
    )
    assert (trial.error, trial.is_cancelled) == ("Cancelled.", True)


def test_since_of_the_service_is_used_and_not_changed(world) -> None:
    options = {
        "path": "/orders",
        "page_size": 10,
        "params": {"since": "{since}"},
        "since": {"first": "2026-01-01T00:00:00Z"},
        "pagination": {"type": "page", "page_param": "page", "size_param": "size"},
    }
    service = service_between(world, source_options=options)
    trial = try_service(service, "", Step.PULL)

    assert "since=2026-01-01T00%3A00%3A00Z" in trial.page.origin
    assert Service.objects.get().since == ""


def test_number_of_simultaneous_trials_is_limited(world) -> None:
    service = service_between(world)
    with ExitStack() as others:
        for _trial in range(MAX_TRIALS):
            others.enter_context(trial_slot(12))
        trial = try_service(service, "", Step.PULL)

    assert trial.error == (
        "3 other previews or tests are in progress. Try again; one of them ends in 12 s at the latest."
    )
    assert try_service(service, "", Step.PULL).error == ""


def test_abandoned_trial_leaves_its_slot_to_others(world, monkeypatch) -> None:
    monkeypatch.setattr(slots, "MAX_TRIALS", 1)
    monkeypatch.setattr(service_trial, "MAX_SECONDS", 0.3)
    world.may_respond.clear()
    service = service_between(world)
    assert "limit of a preview" in try_service(service, "", Step.PULL).error
    monkeypatch.setattr(service_trial, "MAX_SECONDS", 28.0)
    world.may_respond.set()

    assert try_service(service, "", Step.PULL).error == ""


@pytest.mark.parametrize("step", [Step.PULL, Step.SCRIPT])
def test_limit_is_explained_in_the_language_of_the_user(world, monkeypatch, step) -> None:
    monkeypatch.setattr(service_trial, "MAX_SECONDS", 0.8)
    if step == Step.PULL:
        world.may_respond.clear()
    script = "def transform(records):\n    for a in range(2000000000):\n        pass\n    return records\n"
    with translation.override("de"):
        trial = try_service(service_between(world), script, step)

    assert trial.step == step
    assert "Grenze einer Vorschau" in trial.error
