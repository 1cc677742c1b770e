"""Fields of services, runs and payloads."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.runs.models import Payload, Run
from tests.factories import make_log_entries, make_payload, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_run_has_the_fields_of_the_contract(client, service):
    run = make_run(
        service,
        started_by=make_user("ann"),
        pulled_count=3,
        pushed_count=2,
        refused_count=1,
        error="The shop is closed.",
    )
    make_log_entries(run, 2)

    document = client.get(f"/api/v1/runs/{run.pk}/").json()

    times = {name: document.pop(name) for name in ("queued_at", "started_at", "finished_at")}
    assert all(TIMESTAMP.fullmatch(time) for time in times.values())
    assert document == {
        "id": run.pk,
        "service": "orders",
        "status": "succeeded",
        "trigger": "manual",
        "retry_of": None,
        "started_by": "ann",
        "pulled_count": 3,
        "pushed_count": 2,
        "refused_count": 1,
        "warning_count": 0,
        "error_count": 0,
        "line_count": 2,
        "is_complete": True,
        "lost_line_count": 0,
        "error": "The shop is closed.",
        "log_url": f"http://testserver/api/v1/runs/{run.pk}/log/",
        "payloads_url": f"http://testserver/api/v1/payloads/?run={run.pk}",
    }


def test_queued_run_of_the_schedule_has_nulls(client, service):
    run = make_run(service, status=Run.Status.QUEUED, trigger=Run.Trigger.SCHEDULE)

    document = client.get(f"/api/v1/runs/{run.pk}/").json()

    assert [document[name] for name in ("started_by", "started_at", "finished_at")] == [None, None, None]


def test_times_always_have_microseconds(client, service):
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    run = make_run(service, started_at=noon)

    document = client.get(f"/api/v1/runs/{run.pk}/").json()

    assert document["started_at"] == f"{noon:%Y-%m-%d}T12:00:00.000000Z"


def test_service_has_the_fields_of_the_contract(client):
    service = make_service(slug="orders", name="Orders", schedule="0 3 * * *")

    document = client.get("/api/v1/services/orders/").json()

    assert document == {
        "slug": "orders",
        "name": "Orders",
        "kind": "integration",
        "source": service.source_connection.name,
        "destination": service.destination_connection.name,
        "schedule": "0 3 * * *",
        "timezone": "UTC",
        "is_active": True,
        "next_run_at": None,
        "max_attempts": 3,
        "timeout_seconds": 3600,
        "url": "http://testserver/api/v1/services/orders/",
        "runs_url": "http://testserver/api/v1/runs/?service=orders",
    }


def test_payload_has_the_fields_of_the_contract(client):
    run = make_run(store_pull=True)
    payload = make_payload(run, b"abc")

    document = client.get(f"/api/v1/payloads/{payload.pk}/").json()

    assert TIMESTAMP.fullmatch(document.pop("created_at"))
    assert TIMESTAMP.fullmatch(document.pop("expires_at"))
    assert document == {
        "id": str(payload.pk),
        "run": run.pk,
        "kind": "pull",
        "name": "page-1.json",
        "content_type": "application/json",
        "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "status": "stored",
        "download_url": f"http://testserver/api/v1/payloads/{payload.pk}/download/",
    }


def test_payload_status_follows_the_clock_of_the_database(client):
    run = make_run(store_pull=True)
    past, now = timezone.now() - timedelta(seconds=1), timezone.now()
    cases = {
        "stored": make_payload(run, expires_at=None),
        "expired": make_payload(run, expires_at=past),
        "deleted": make_payload(run, status=Payload.Status.DELETED, deleted_at=now, expires_at=past),
        "lost": make_payload(run, status=Payload.Status.LOST),
    }
    deleting = make_payload(run, status=Payload.Status.DELETING, expires_at=past)

    statuses = {
        name: client.get(f"/api/v1/payloads/{row.pk}/").json()["status"] for name, row in cases.items()
    }

    assert statuses == {name: name for name in cases}
    assert client.get(f"/api/v1/payloads/{deleting.pk}/").json()["status"] == "expired"


@pytest.mark.parametrize("number", ["0", "99999999999999999999999", "9" * 5000, "-1", "abc", "1.0"])
@pytest.mark.parametrize("rest", ["", "log/", "log.txt", "log.ndjson"])
def test_impossible_run_number_is_404(client, number, rest):
    response = client.get(f"/api/v1/runs/{number}/{rest}")

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


def test_pending_payload_is_not_found(client):
    payload = make_payload(status=Payload.Status.PENDING, size=None, sha256="")

    assert client.get(f"/api/v1/payloads/{payload.pk}/").status_code == 404
    assert client.get("/api/v1/payloads/").json()["results"] == []
