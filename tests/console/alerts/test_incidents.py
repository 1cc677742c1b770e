"""Incident list and page."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from tests.factories import make_channel, make_incident, make_service, make_user

pytestmark = pytest.mark.django_db
LIST = "/admin/alerts/incident/"


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client():
    return client_of(make_user(is_superuser=True))


def test_list_and_page_show_an_incident_with_its_messages(client):
    incident = make_incident(make_service(name="Orders"), detail="HTTP 503")
    incident.notices.create(channel=make_channel(name="ops-mail"), kind="opened", created_at=timezone.now())

    texts = [client.get(url).content.decode() for url in (LIST, f"{LIST}{incident.pk}/change/")]

    assert all("Orders" in text and "Run failed" in text for text in texts)
    assert "HTTP 503" in texts[1]
    assert "ops-mail" in texts[1]


def test_list_is_filtered_by_state(client):
    make_incident(make_service(name="Orders"))
    make_incident(make_service(name="Invoices"), closed_at=timezone.now())

    shown = {
        state: [
            name
            for name in ("Orders", "Invoices")
            if name in client.get(LIST, {"state": state}).content.decode()
        ]
        for state in ("open", "closed")
    }

    assert shown == {"open": ["Orders"], "closed": ["Invoices"]}


def test_incidents_of_hidden_services_are_not_found():
    hidden = make_incident(make_service(name="Orders", groups=[Group.objects.create(name="team")]))
    of_system = make_incident(None, kind="doctor", subject="workers")
    client = client_of(make_user(permissions=["services.view_service", "alerts.view_incident"]))

    page = client.get(LIST).content.decode()

    assert ("Orders" in page, "System check failed" in page) == (False, True)
    assert client.get(f"{LIST}{hidden.pk}/change/").status_code == 302
    assert client.get(f"{LIST}{of_system.pk}/change/").status_code == 200


def test_incidents_require_their_permission():
    client = client_of(make_user(permissions=["services.view_service"]))

    assert client.get(LIST).status_code == 403


@pytest.mark.parametrize("count", [1, 3])
def test_list_costs_the_same_for_many_incidents(client, count, django_assert_num_queries):
    for _number in range(count):
        make_incident(make_service())

    with django_assert_num_queries(4):
        assert client.get(LIST).status_code == 200


def test_csv_has_the_incidents(client):
    make_incident(make_service(slug="orders"), opened_at=timezone.now() - timedelta(days=1))

    lines = b"".join(client.get(f"{LIST}csv/").streaming_content).decode().splitlines()

    assert len(lines) == 2
    assert "failed,,orders" in lines[1]
