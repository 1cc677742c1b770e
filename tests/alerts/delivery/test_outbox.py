"""The outbox: messages are queued once for each channel, in its language, with the transaction."""

import uuid
from datetime import UTC, datetime

import pytest
from django.db import transaction
from django.utils.translation import gettext_lazy

from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import absolute_url, queue_message
from apps.alerts.models import Delivery
from tests.factories import make_channel

pytestmark = pytest.mark.django_db


def message(**fields):
    return Message(**{"kind": "failed", "service": "Orders", "headline": "Run 7 failed"} | fields)


def test_message_is_queued_once_for_each_active_channel():
    channel, inactive = make_channel(name="ops"), make_channel(is_active=False)
    found = message(reference="incident 1")

    queue_message([channel, channel, inactive], found)
    queue_message([channel], found)

    [delivery] = Delivery.objects.all()
    assert (delivery.channel_name, delivery.key, delivery.reference) == ("ops", found.key, "incident 1")
    assert (delivery.status, delivery.attempt_count) == ("pending", 0)


def test_message_is_rolled_back_with_its_event():
    channel = make_channel()

    with transaction.atomic():
        queue_message([channel], message())
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()


def test_message_has_the_language_of_its_channel():
    channels = [make_channel(language="en"), make_channel(language="de")]

    queue_message(channels, message(details=[(gettext_lazy("Errors"), "3")]))

    english, german = Delivery.objects.order_by("pk")
    assert "Errors: 3" in english.text
    assert "Fehler: 3" in german.text
    assert "Fehler" in german.html


def test_text_is_complete():
    since = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    found = message(
        sentence="The shop did not respond.",
        since=since,
        details=[("Pulled", "120"), ("Pushed", "0")],
        url="https://synclog.example/runs/7",
    )

    queue_message([make_channel()], found)

    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Orders: Run 7 failed"
    assert delivery.text == (
        "Orders: Run 7 failed\n\nThe shop did not respond.\n\nSince: 1 Mar 2026, 08:30 UTC\n"
        "Pulled: 120\nPushed: 0\n\nhttps://synclog.example/runs/7\n"
    )
    assert delivery.payload["type"] == "alert.failed"
    assert delivery.payload["data"] == {
        "service": "Orders",
        "headline": "Run 7 failed",
        "sentence": "The shop did not respond.",
        "since": "2026-03-01T08:30:00+00:00",
        "details": {"Pulled": "120", "Pushed": "0"},
        "url": "https://synclog.example/runs/7",
        "reference": "",
    }


def test_names_cannot_add_headers_and_markup_stays_text():
    found = message(
        service="Orders\r\nBcc: thief@example.com", headline="Failed\n\x00", sentence="<b>x</b>" * 4096
    )

    queue_message([make_channel()], found)

    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Orders Bcc: thief@example.com: Failed"
    assert "<b>" not in delivery.html
    assert "&lt;b&gt;" in delivery.html
    assert len(delivery.text) < 5000


def test_links_need_the_address_of_the_console(settings):
    settings.BASE_URL = "https://synclog.example/"
    assert absolute_url("/admin/") == "https://synclog.example/admin/"

    settings.BASE_URL = ""
    assert absolute_url("/admin/") == ""


def test_same_key_goes_to_another_channel():
    found = message(key=uuid.uuid4())

    queue_message([make_channel()], found)
    queue_message([make_channel()], found)

    assert Delivery.objects.count() == 2
