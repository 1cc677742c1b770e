"""Resync over the API: body, errors by field, idempotency key. tests/runs/execution/test_resync.py has the rules."""

import json

import pytest

from apps.runs.models import Record, Run
from tests.factories import make_payload, make_run, make_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(service):
    """A run with 10045 and 10046 refused, and 1 pushed."""
    run = make_run(service, store_pull=True, has_records=True)
    make_payload(run, name="pull-page-00001.json")
    for sequence, (key, outcome) in enumerate((("10045", 1), ("10046", 1), ("1", 3)), 1):
        Record.objects.create(
            run=run,
            key=key,
            outcome=outcome,
            sequence=sequence,
            page=1,
            batch=1,
            step=4,
            recorded_at=run.finished_at,
        )
    return run


def resync(client, run, body, **headers):
    return client.post(
        f"/api/v1/runs/{run.pk}/resync/",
        body if isinstance(body, str) else json.dumps(body),
        content_type="application/json",
        headers=headers,
    )


def test_resync_queues_a_run_and_notifies_workers(
    client, run, broker_messages, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        response = resync(client, run, {"outcome": "refused"})

    document = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver/api/v1/runs/{document['id']}/"
    assert document == client.get(response["Location"]).json()
    assert (document["trigger"], document["retry_of"], document["status"]) == ("retry", run.pk, "queued")
    queued = Run.objects.get(pk=document["id"])
    assert (queued.selection.keys, queued.replay_of, queued.is_dry_run) == (["10045", "10046"], run, False)
    assert broker_messages == [queued.pk]


def test_keys_may_be_numbers_and_source_and_dry_run_can_be_chosen(client, run, broker_messages):
    response = resync(client, run, {"keys": [10045, "1"], "from": "source", "dry_run": True})

    queued = Run.objects.get(pk=response.json()["id"])
    assert (queued.selection.keys, queued.replay_of, queued.is_dry_run) == (["1", "10045"], None, True)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "__all__", "either “keys” or “outcome”"),
        ({"keys": ["1"], "outcome": "refused"}, "__all__", "either “keys” or “outcome”"),
        ({"keys": "1"}, "keys", "list of keys"),
        ({"keys": []}, "keys", "select at least one"),
        ({"keys": ["1", {"id": 1}]}, "keys.1", "text or as a number"),
        ({"keys": ["1", ""]}, "keys.1", "must not be empty"),
        ({"keys": ["1", True]}, "keys.1", "text or as a number"),
        ({"keys": ["10047"]}, "keys", "has no record 10047."),
        ({"keys": ["a\0b" * 100, "\ud800"]}, "keys", "has no records"),
        ({"keys": list(range(100_000))}, "keys", "select at most 10,000."),
        ({"outcome": "lost"}, "outcome", "Allowed: refused, failed"),
        ({"outcome": "failed"}, "outcome", "no records with the outcome “failed”"),
        ({"keys": ["1"], "from": "disk"}, "from", "Allowed: stored, source."),
        ({"keys": ["1"], "form": "source"}, "form", "Allowed: keys, outcome, dry_run, from."),
        ({"keys": ["1"], "dry_run": "no"}, "dry_run", "boolean"),
        ([], "__all__", "dictionary"),
    ],
)
def test_invalid_body_is_400_by_field(client, run, body, field, message):
    response = resync(client, run, body)

    assert response.status_code == 400
    assert message in " ".join(response.json()["errors"][field])
    assert Run.objects.count() == 1


def test_run_that_cannot_be_sent_again_is_400(client, run):
    reported = make_run(make_service(kind="reported", source_connection=None, destination_connection=None))
    running = make_run(run.service, status="running")
    run.payloads.update(expires_at=run.finished_at)

    errors = [
        resync(client, original, {"keys": ["10045"], "from": "stored"}).json()["errors"]
        for original in (reported, running, run)
    ]

    assert [list(error) for error in errors] == [["service"], ["run"], ["from"]]
    assert "runs elsewhere" in errors[0]["service"][0]


def test_same_key_returns_the_same_run_and_with_another_body_422(client, run, broker_messages):
    header = {"Idempotency-Key": "k-1"}

    first = resync(client, run, {"keys": ["10045"]}, **header)
    Run.objects.filter(pk=first.json()["id"]).update(status="cancelled", finished_at=run.finished_at)
    again = resync(client, run, {"keys": [10045]}, **header)
    other = resync(client, run, {"keys": ["10046"]}, **header)
    start = client.post("/api/v1/services/orders/runs/", content_type="application/json", headers=header)

    statuses = [response.status_code for response in (first, again, other, start)]
    assert statuses == [202, 202, 422, 422]
    assert again.json()["id"] == first.json()["id"]
    assert other.json()["type"] == "urn:problem-type:synclog:idempotency-key-reused"
