"""Delivery list: fields, filters, visibility."""

import pytest
from django.contrib.auth.models import Group

from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import queue_message
from apps.alerts.models import Delivery
from tests.api.conftest import client_of
from tests.factories import make_channel, make_incident, make_service, make_token, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/alerts/deliveries/"


def queue(channel, reference="incident 1"):
    queue_message(
        [channel], Message(kind="failed", service="Orders", headline="Run 7 failed", reference=reference)
    )
    return Delivery.objects.latest("pk")


def client_with(**fields):
    token, secret = make_token(make_user(is_superuser=True), **fields)
    return token, client_of(secret)


def test_delivery_has_its_fields():
    _token, client = client_with()
    delivery = queue(make_channel(name="ops"))

    [found] = client.get(URL).json()["results"]

    created = f"{delivery.created_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert found == {
        "id": delivery.pk,
        "key": str(delivery.key),
        "channel": "ops",
        "reference": "incident 1",
        "subject": "[Synclog] Orders: Run 7 failed",
        "status": "pending",
        "attempt_count": 0,
        "last_error": "",
        "created_at": created,
        "next_attempt_at": created,
        "sent_at": None,
    }


def test_list_is_filtered_by_channel_and_status():
    _token, client = client_with()
    first, second = queue(make_channel(name="ops")), queue(make_channel(name="pager"))
    second.suppress("The channel is inactive.")

    def ids(query):
        return [row["id"] for row in client.get(URL + query).json()["results"]]

    assert ids("") == [second.pk, first.pk]
    assert ids("?channel=ops") == [first.pk]
    assert ids("?status=suppressed,failed") == [second.pk]
    assert client.get(f"{URL}?status=lost").status_code == 400


def test_permission_to_view_deliveries_is_required():
    _token, secret = make_token(make_user(permissions=["services.view_service", "runs.view_run"]))

    assert client_of(secret).get(URL).status_code == 403


def test_messages_about_hidden_services_are_not_listed():
    hidden = make_service(groups=[Group.objects.create(name="others")])
    channel = make_channel()
    queue(channel, make_incident(hidden).reference)
    seen = queue(channel, make_incident(make_service()).reference)
    user = make_user(permissions=["services.view_service", "runs.view_run", "alerts.view_delivery"])
    _token, secret = make_token(user)

    assert [row["id"] for row in client_of(secret).get(URL).json()["results"]] == [seen.pk]


def test_limited_token_lists_messages_about_its_services():
    service = make_service()
    channel = make_channel()
    queue(channel, make_incident(make_service()).reference)
    seen = queue(channel, make_incident(service).reference)
    token, client = client_with()
    token.is_limited = True
    token.save()
    token.services.set([service])

    assert [row["id"] for row in client.get(URL).json()["results"]] == [seen.pk]
