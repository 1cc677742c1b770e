"""Channels and deliveries in the console: settings, test message, lists, home page."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import queue_message
from apps.alerts.delivery.sending import send_due_deliveries
from apps.alerts.models import Channel, Delivery
from tests.factories import make_channel, make_service, make_user
from tests.receivers import mail_server

pytestmark = pytest.mark.django_db

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADD = "/admin/alerts/channel/add/"


@pytest.fixture
def client():
    client = Client()
    client.force_login(make_user(is_superuser=True))
    return client


def entered(**fields):
    return {"name": "ops", "kind": "email", "language": "en", "is_active": "on"} | fields


def errors_of(response):
    return {name: list(messages) for name, messages in response.context["adminform"].form.errors.items()}


def test_email_channel_with_a_group_of_recipients_is_added_and_changed(client):
    client.post(ADD, entered(to="ops@example.com\nnight@example.com"))

    channel = Channel.objects.get()
    assert channel.to == ["ops@example.com", "night@example.com"]
    url = reverse("admin:alerts_channel_change", args=[channel.pk])
    assert "ops@example.com\nnight@example.com" in client.get(url).text
    client.post(url, entered(to="ops@example.com", language="de"))
    channel.refresh_from_db()
    assert (channel.to, channel.language) == (["ops@example.com"], "de")


def test_secret_of_a_webhook_is_stored_and_never_shown(client):
    client.post(ADD, entered(kind="webhook", url="https://pager.example/in", secret=SECRET))

    channel = Channel.objects.get()
    assert channel.get_secret() == SECRET
    url = reverse("admin:alerts_channel_change", args=[channel.pk])
    assert SECRET not in client.get(url).text
    client.post(url, entered(kind="webhook", url="https://pager.example/v2"))
    channel.refresh_from_db()
    assert (channel.url, channel.get_secret()) == ("https://pager.example/v2", SECRET)
    client.post(url, entered(kind="webhook", url="https://pager.example/v2", secret_env="PAGER_SECRET"))
    channel.refresh_from_db()
    assert (channel.secret_env, channel.secret_encrypted) == ("PAGER_SECRET", "")


def test_apprise_url_is_stored_encrypted(client):
    url = "json://user:hunter2secret@127.0.0.1/in"

    client.post(ADD, entered(kind="apprise", apprise_url=url))

    channel = Channel.objects.get()
    assert channel.get_secret() == url
    assert channel.url == ""
    assert "hunter2secret" not in client.get("/admin/alerts/channel/").text


def test_history_of_changes_contains_no_secret(client):
    chat = {"kind": "apprise", "apprise_url": "json://user:hunter2secret@127.0.0.1/in"}
    webhook = {"kind": "webhook", "url": "https://pager.example/in?token=hunter2secret", "secret": SECRET}

    client.post(ADD, entered(name="new", **webhook))
    client.post(ADD, entered(**chat))
    change = reverse("admin:alerts_channel_change", args=[Channel.objects.get(name="ops").pk])
    client.post(change, entered(**webhook))
    client.post(change, entered(**chat))
    client.post(change, entered(kind="webhook", url="https://pager.example", secret="short"))

    entries = LogEntry.objects.values_list("object_repr", "change_message")
    assert len(entries) == 4
    assert all(word not in str([*entries]) for word in ("hunter2secret", SECRET))


def test_secret_in_a_url_is_shown_only_to_users_who_may_change_it(client):
    channel = make_channel(kind="webhook", url="https://pager.example/in?token=hunter2secret", secret=SECRET)
    url = reverse("admin:alerts_channel_change", args=[channel.pk])
    viewer = Client()
    viewer.force_login(make_user(permissions=["alerts.view_channel"]))

    assert "?token=hunter2secret" in client.get(url).text
    assert "?token=••••" in viewer.get(url).text
    assert "hunter2secret" not in viewer.get(url).text + viewer.get("/admin/alerts/channel/").text


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"to": ""}, "to"),
        ({"to": "nobody"}, "to"),
        ({"kind": "webhook", "url": "http://169.254.169.254/", "secret": SECRET}, "url"),
        ({"kind": "webhook", "url": "https://pager.example", "secret": "short"}, "secret"),
        ({"kind": "webhook", "url": "https://pager.example"}, "secret"),
        ({"kind": "apprise", "apprise_url": "syslog://"}, "apprise_url"),
        ({"kind": "apprise"}, "apprise_url"),
        ({"kind": "pigeon"}, "kind"),
    ],
)
def test_error_is_shown_at_its_field(client, fields, name):
    response = client.post(ADD, entered(**fields))

    assert list(errors_of(response)) == [name]
    assert not Channel.objects.exists()


def test_test_message_shows_its_result(client, settings):
    channel = make_channel(name="ops")
    url = reverse("admin:alerts_channel_test", args=[channel.pk])

    with mail_server() as server:
        settings.MAILERS = server.mailers
        delivered = client.post(url, follow=True).text
        server.refused = {"ops@example.com": "550 No such user"}
        refused = client.post(url, follow=True).text
        server.refused = {}
        settings.BASE_URL = "https://synclog.example"
        linked = client.post(url, follow=True).text

    assert "The channel ops has accepted the test message." in delivered
    assert "Messages have no links; set SYNCLOG_BASE_URL." in delivered
    assert "SYNCLOG_BASE_URL" not in linked
    assert "550 No such user" in refused
    assert client.get(url).status_code == 405


def test_test_message_requires_the_permission_to_change_channels():
    client = Client()
    client.force_login(make_user(permissions=["alerts.view_channel"]))
    channel = make_channel()

    assert client.post(reverse("admin:alerts_channel_test", args=[channel.pk])).status_code == 403
    assert not Delivery.objects.exists()


def test_failing_channel_is_on_the_home_page(client, settings):
    options = {"host": "127.0.0.1", "port": 9, "timeout": 5}
    settings.MAILERS = {"default": {"BACKEND": "config.smtp.EmailBackend", "OPTIONS": options}}
    make_service()
    queue_message([make_channel(name="ops")], Message(kind="failed", service="Orders", headline="Failed"))
    assert "Channels that fail" not in client.get("/admin/").text

    send_due_deliveries()

    home = client.get("/admin/").text
    assert "1 channel failing" in home
    assert "The mail server is unreachable" in home
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("count", [1, 3])
def test_lists_take_a_fixed_number_of_queries(client, count, django_assert_num_queries):
    for number in range(count):
        channel = make_channel()
        queue_message([channel], Message(kind="failed", service="Orders", headline=f"Run {number} failed"))
    client.get("/admin/alerts/channel/")

    with django_assert_num_queries(4):
        client.get("/admin/alerts/channel/")
    with django_assert_num_queries(5):
        found = client.get("/admin/alerts/delivery/").text

    assert len(re.findall(r"Run \d failed</a>", found)) == count
    assert ">Deleted</a>" in found, "the filter for deliveries whose channel is deleted"


def test_delivery_shows_its_attempts_and_text(client, settings):
    queue_message([make_channel()], Message(kind="failed", service="<b>Orders</b>", headline="Failed"))
    with mail_server() as server:
        settings.MAILERS = server.mailers
        send_due_deliveries()

    found = client.get(reverse("admin:alerts_delivery_change", args=[Delivery.objects.get().pk])).text

    assert "&lt;b&gt;Orders&lt;/b&gt;: Failed" in found
    assert "Attempts" in found


def test_messages_about_hidden_services_are_not_shown():
    make_service(groups=[Group.objects.create(name="others")])
    queue_message(
        [make_channel()],
        Message(kind="failed", service="Secret", headline="Failed", reference="incident 1"),
    )
    client = Client()
    client.force_login(make_user(permissions=["alerts.view_delivery", "services.view_service"]))

    assert "Secret" not in client.get("/admin/alerts/delivery/").text
