"""Incidents: list, filters and detail."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.alerts.models import Incident
from tests.api.conftest import client_of
from tests.factories import make_incident, make_run, make_service, make_token, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/alerts/incidents/"


def ids(response):
    assert response.status_code == 200, response.json()
    return [incident["id"] for incident in response.json()["results"]]


def test_incident_has_its_fields(client, service):
    run = make_run(service, status="failed")
    incident = make_incident(service, run=run, detail="Timeout", further_run_count=2)

    moment = f"{incident.opened_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert client.get(f"{URL}{incident.pk}/").json() == {
        "id": incident.pk,
        "service": "orders",
        "kind": "failed",
        "subject": "",
        "state": "open",
        "is_unstable": False,
        "run": run.pk,
        "further_run_count": 2,
        "reason": "Timeout",
        "since": moment,
        "opened_at": moment,
        "last_event_at": moment,
        "closed_at": None,
    }


@pytest.mark.parametrize("number", [1, 3])
def test_list_takes_a_constant_query_count(client, number, django_assert_num_queries):
    for _order in range(number):
        make_incident(make_service())

    with django_assert_num_queries(2):
        response = client.get(URL)

    assert len(ids(response)) == number


def test_list_is_filtered_and_has_pages(client, service):
    now = timezone.now()
    kinds = (Incident.Kind.FAILED, Incident.Kind.LATE, Incident.Kind.REFUSED)
    failed, late, refused = (
        make_incident(service, kind=kind, opened_at=now - timedelta(hours=hour))
        for hour, kind in enumerate(kinds)
    )
    closed = make_incident(make_service(), opened_at=now - timedelta(days=1), closed_at=now)

    assert ids(client.get(URL)) == [failed.pk, late.pk, refused.pk, closed.pk]
    assert ids(client.get(f"{URL}?service=orders&kind=late,refused")) == [late.pk, refused.pk]
    assert ids(client.get(f"{URL}?state=closed")) == [closed.pk]
    assert ids(client.get(f"{URL}?state=open&kind=failed")) == [failed.pk]
    assert client.get(f"{URL}?state=muted").status_code == 400
    first = client.get(f"{URL}?limit=3").json()
    assert ids(client.get(first["next"])) == [closed.pk]


def test_incident_of_the_system_is_shown_unless_the_token_is_limited(client, service):
    system = make_incident(None, kind=Incident.Kind.DOCTOR, subject="broker")
    limited = client_of(make_token(services=[service])[1])
    reader = client_of(make_token(make_user(permissions=["services.view_service", "runs.view_run"]))[1])

    assert client.get(f"{URL}{system.pk}/").json()["service"] is None
    assert ids(reader.get(URL)) == [system.pk]
    assert limited.get(f"{URL}{system.pk}/").status_code == 404


def test_incidents_are_read_only(client, service):
    incident = make_incident(service)

    for method in (client.post, client.put, client.patch, client.delete):
        assert method(f"{URL}{incident.pk}/").status_code == 405
