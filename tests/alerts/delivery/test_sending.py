"""Sending of the outbox: retries for a day, one attempt at a time, nothing twice."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from apps.alerts.delivery import sending
from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import queue_message
from apps.alerts.models import Channel, Delivery
from apps.alerts.tasks import send_deliveries
from apps.runs.models import HousekeepingJob
from tests.factories import make_channel
from tests.receivers import http_receiver, mail_server, respond_with

pytestmark = pytest.mark.django_db

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def mails(settings):
    with mail_server() as server:
        settings.MAILERS = server.mailers
        yield server


@pytest.fixture
def receiver():
    with http_receiver() as found:
        yield found


def queue(*channels: Channel) -> None:
    queue_message(channels, Message(kind="failed", service="Orders", headline="Run 7 failed"))


def pass_time(time: timedelta) -> None:
    Delivery.objects.update(created_at=F("created_at") - time)
    Delivery.objects.pending().update(next_attempt_at=F("next_attempt_at") - time)


def test_due_delivery_is_sent_once(mails):
    channel = make_channel(to=["ops@example.com", "night@example.com"])
    queue(channel)

    assert sending.send_due_deliveries() == sending.SendingResult(sent=1)
    assert sending.send_due_deliveries() == sending.SendingResult()

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempt_count, delivery.last_error) == ("sent", 1, "")
    assert delivery.sent_at is not None
    assert [attempt.error for attempt in delivery.attempts.all()] == [""]
    assert mails.recipients == [["ops@example.com", "night@example.com"]]
    channel.refresh_from_db()
    assert channel.last_sent_at is not None


def test_task_sends_and_records_its_result(mails):
    queue(make_channel())

    send_deliveries()

    assert len(mails.mails) == 1
    assert HousekeepingJob.objects.get(name="send_deliveries").outcome["sent"] == 1


def test_mail_server_that_is_down_for_an_hour_gets_the_message_once_afterwards(settings):
    channel = make_channel()
    settings.MAILERS = closed_port()
    queue(channel)

    for _minute in range(60):
        sending.send_due_deliveries()
        pass_time(timedelta(minutes=1))

    delivery = Delivery.objects.get()
    assert delivery.status == "pending"
    assert "unreachable" in delivery.last_error
    assert delivery.attempts.count() == delivery.attempt_count == 7
    assert list(Channel.objects.failing()) == [channel]

    with mail_server() as server:
        settings.MAILERS = server.mailers
        for _minute in range(60):
            sending.send_due_deliveries()
            pass_time(timedelta(minutes=1))

        assert len(server.mails) == 1
    assert Delivery.objects.get().status == "sent"
    assert not Channel.objects.failing().exists()


def test_mail_that_some_addresses_refuse_is_tried_again_for_them_alone(mails):
    channel = make_channel(to=["ops@example.com", "night@example.com"])
    mails.refused = {"night@example.com": "450 Greylisted"}
    queue(channel)

    assert sending.send_due_deliveries() == sending.SendingResult(postponed=1)
    assert (
        "(night@example.com: 450 Greylisted); the others have got the mail"
        in Delivery.objects.get().last_error
    )
    assert list(Channel.objects.failing()) == [channel]

    pass_time(timedelta(minutes=1))
    sending.send_due_deliveries()
    assert "refused addresses that are left" in Delivery.objects.get().last_error
    mails.refused = {}
    pass_time(timedelta(minutes=2))
    sending.send_due_deliveries()
    assert mails.recipients == [["ops@example.com"], ["night@example.com"]]
    assert Delivery.objects.get().status == "sent"


def test_delivery_is_given_up_after_a_day(settings):
    settings.MAILERS = closed_port()
    queue(make_channel())

    for _hour in range(26):
        sending.send_due_deliveries()
        pass_time(timedelta(hours=1))

    delivery = Delivery.objects.get()
    assert delivery.status == "failed"
    assert delivery.next_attempt_at is None
    assert delivery.attempt_count <= 26


def test_failing_channel_does_not_delay_others(mails, receiver):
    receiver.respond = respond_with(500, b"out of order")
    pager = make_channel(kind="webhook", url=receiver.url, secret=SECRET)
    queue(pager)
    queue(pager)
    queue(make_channel())

    result = sending.send_due_deliveries()

    assert result == sending.SendingResult(sent=1, postponed=1)
    assert len(receiver.requests) == 1
    assert "500 Internal Server Error: out of order" in Channel.objects.get(pk=pager.pk).last_error


def test_claimed_delivery_is_not_sent_by_another_worker(mails):
    queue(make_channel())
    first, second = Delivery.objects.get(), Delivery.objects.get()
    now = timezone.now() + timedelta(seconds=1)

    assert first.claim(now, sending.LEASE)
    assert not second.claim(now, sending.LEASE)
    assert sending.send_due_deliveries() == sending.SendingResult()


def test_worker_that_died_during_an_attempt_leaves_the_delivery_to_others(mails):
    queue(make_channel())
    Delivery.objects.get().claim(timezone.now() + timedelta(seconds=1), sending.LEASE)

    pass_time(sending.LEASE + timedelta(seconds=2))
    sending.send_due_deliveries()

    assert len(mails.mails) == 1
    assert Delivery.objects.get().attempt_count == 2


def test_pending_deliveries_of_a_deleted_channel_fail(mails):
    channel = make_channel(name="ops")
    queue(channel)
    channel.delete()

    assert sending.send_due_deliveries() == sending.SendingResult(failed=1)

    delivery = Delivery.objects.get()
    assert (delivery.channel_name, delivery.status) == ("ops", "failed")
    assert delivery.last_error == "The channel was deleted."


def test_pending_deliveries_of_an_inactive_channel_are_suppressed(mails):
    channel = make_channel()
    queue(channel)
    Channel.objects.update(is_active=False)

    sending.send_due_deliveries()

    assert Delivery.objects.get().status == "suppressed"
    assert mails.mails == []


def test_test_message_is_sent_at_once_and_not_tried_again(settings, mails):
    channel = make_channel(is_active=False, language="de")

    assert sending.send_test_message(channel).status == "sent"
    assert mails.mails[0]["Subject"] == "[Synclog] Testnachricht"

    settings.MAILERS = closed_port()
    failed = sending.send_test_message(channel)
    assert (failed.status, failed.attempt_count) == ("failed", 1)
    assert "unreachable" in failed.last_error


def test_old_deliveries_are_pruned_unless_they_are_pending(settings, mails):
    queue(make_channel())
    sending.send_due_deliveries()
    queue(make_channel())
    pass_time(settings.LOG_RETENTION + timedelta(minutes=1))

    assert sending.prune_deliveries() == 1
    assert Delivery.objects.get().status == "pending"


def closed_port():
    options = {"host": "127.0.0.1", "port": 9, "timeout": 5}
    return {"default": {"BACKEND": "config.smtp.EmailBackend", "OPTIONS": options}}
