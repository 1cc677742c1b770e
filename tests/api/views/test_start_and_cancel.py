"""Start of runs, with idempotency keys, and cancellation."""

import json
import threading

import pytest
from django.db import connection

from apps.runs.models import Run
from tests.api.conftest import client_of
from tests.factories import make_run, make_service, make_token

pytestmark = pytest.mark.django_db


def start(client, body=None, *, key=None, service="orders"):
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(
        f"/api/v1/services/{service}/runs/",
        data=body if isinstance(body, str) else json.dumps({} if body is None else body),
        content_type="application/json",
        headers=headers,
    )


def test_start_queues_a_run_and_notifies_workers(
    client, service, broker_messages, django_capture_on_commit_callbacks
):
    body = {"store": ["pull", "script"], "dry_run": True, "options": {"page_size": 7, "record_id": "10045"}}

    with django_capture_on_commit_callbacks(execute=True):
        response = start(client, body)

    run = Run.objects.get()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver/api/v1/runs/{run.pk}/"
    assert response.json() == client.get(response["Location"]).json()
    assert (run.status, run.trigger, run.started_by.is_superuser) == ("queued", "api", True)
    assert (run.stores, run.is_dry_run) == (("pull", "script"), True)
    assert run.options == {"page_size": 7, "record_id": "10045"}
    assert broker_messages == [run.pk]


def test_since_of_one_run_is_given_in_any_time_zone(client, broker_messages):
    make_service(slug="orders", source_options={"params": {"since": "{since}"}})

    response = start(client, {"options": {"since": "2026-01-01T01:00:00+01:00"}})
    refused = start(client, {"options": {"since": "2999-01-01"}})

    assert response.status_code == 202
    assert Run.objects.get().options == {"since": "2026-01-01T00:00:00Z"}
    assert refused.status_code == 400
    assert "is in the future" in refused.json()["errors"]["options.since"][0]


@pytest.mark.parametrize("body", ["", "{}"])
def test_body_is_optional(client, service, broker_messages, body):
    assert start(client, body).status_code == 202
    assert Run.objects.get().stores == ()


def test_service_with_a_disabled_schedule_can_be_started(client, broker_messages):
    make_service(slug="inactive", is_active=False)

    assert start(client, service="inactive").status_code == 202


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"stor": ["pull"]}, "stor", "Allowed: store, dry_run, options"),
        ({"store": "pull"}, "store", "list"),
        ({"store": ["pul"]}, "store.0", "“pul” is not valid. Allowed: pull, script, push."),
        ({"store": None}, "store", "null"),
        ({"dry_run": "perhaps"}, "dry_run", "boolean"),
        ({"dry_run": None}, "dry_run", "null"),
        ({"options": []}, "options", "dictionary"),
        ({"options": {"page_sice": 3}}, "options.page_sice", "page_size"),
        ({"options": {"page_size": 0}}, "options.page_size", "1"),
        ({"options": {"max_attempts": 10**30}}, "options.max_attempts", "20"),
        ({"options": {"record_id": "a\x00b"}}, "options", "Invalid characters"),
        ('{"options": {"record_id": "\\ud800"}}', "options", "Invalid characters"),
        ('{"\\ud800": 1}', "\ud800", "Allowed:"),
        ([], "__all__", "dictionary"),
        ("7", "__all__", "dictionary"),
    ],
)
def test_invalid_body_is_400_by_field(client, service, body, field, expected):
    response = start(client, body)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert expected in " ".join(response.json()["errors"][field])
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [("{", 400), ("[" * 30_000, 400), ("NaN", 400), ('{"a": "' + "x" * 70_000 + '"}', 413)],
)
def test_unreadable_body_is_a_problem(client, service, body, status):
    response = start(client, body)

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_body_with_another_content_type_is_415(client, service):
    response = client.post("/api/v1/services/orders/runs/", "a=b", content_type="text/plain")

    assert response.status_code == 415
    assert response["Content-Type"] == "application/problem+json"


def test_same_key_returns_the_same_run(client, service, broker_messages):
    first = start(client, {"store": ["pull"], "options": {"page_size": "5"}}, key="k-1")
    again = start(client, {"options": {"page_size": 5}, "store": ["pull", "pull"]}, key="k-1")
    other = start(client, {"store": ["pull"], "options": {"page_size": "5"}}, key="k-2")

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again["Location"] == first["Location"]
    assert other.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("body", [{"store": ["push"]}, {"dry_run": True}, {"options": {"page_size": 5}}])
def test_same_key_with_another_body_is_422(client, service, broker_messages, body):
    first = start(client, key="k-1").json()

    response = start(client, body, key="k-1")

    assert response.status_code == 422
    assert response.json()["type"] == "urn:problem-type:synclog:idempotency-key-reused"
    assert str(first["id"]) in response.json()["detail"]
    assert Run.objects.count() == 1


def test_key_belongs_to_one_user_and_one_service(client, service, broker_messages):
    make_service(slug="other")
    other_user = client_of(make_token()[1])

    runs = {
        start(client, key="k").json()["id"],
        start(client, key="k", service="other").json()["id"],
        start(other_user, key="k").json()["id"],
    }

    assert len(runs) == 3


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "ä", "a\x07b"])
def test_invalid_key_is_400(client, service, key):
    response = start(client, key=key)

    assert response.status_code == 400
    assert "printable" in response.json()["errors"]["Idempotency-Key"][0]


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_with_one_key_start_one_run(broker_messages):
    make_service(slug="orders")
    _token, secret = make_token()
    barrier = threading.Barrier(4)
    responses = []

    def start_run():
        client = client_of(secret)
        barrier.wait()
        response = start(client, {"store": ["pull"]}, key="k")
        responses.append((response.status_code, response.json().get("id")))
        connection.close()

    threads = [threading.Thread(target=start_run) for _index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert responses == [(202, Run.objects.get().pk)] * 4


def test_queued_run_is_cancelled_immediately(client, service):
    run = make_run(service, status=Run.Status.QUEUED)

    response = client.post(f"/api/v1/runs/{run.pk}/cancel/")

    assert response.status_code == 200
    assert response.json()["status"] == "cancelled"


def test_cancellation_of_a_running_run_is_requested(client, service):
    run = make_run(service, status=Run.Status.RUNNING)

    response = client.post(f"/api/v1/runs/{run.pk}/cancel/")

    run.refresh_from_db()
    assert response.status_code == 202
    assert response.json()["status"] == "running"
    assert run.cancel_requested_at is not None
    assert run.cancel_requested_by.is_superuser


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "lost"])
def test_ended_run_cannot_be_cancelled(client, service, status):
    run = make_run(service, status=status)

    response = client.post(f"/api/v1/runs/{run.pk}/cancel/")

    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert status in response.json()["detail"]
