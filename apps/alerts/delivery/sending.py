"""Sending of the outbox: at least once, with pauses that grow, for up to a day."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.alerts.channels.errors import DeliveryError
from apps.alerts.channels.sending import send
from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import absolute_url, queue_message
from apps.alerts.models import Channel, Delivery
from apps.runs.clock import database_now

# A delivery is given up after this time.
GIVE_UP_AFTER = timedelta(hours=24)
# First pause, which doubles with each attempt, and the longest one.
FIRST_PAUSE = timedelta(seconds=30)
MAX_PAUSE = timedelta(hours=1)
# Longer than any attempt takes: then another worker tries again.
LEASE = timedelta(minutes=5)
# Seconds after which a pass begins no further attempt, because other housekeeping waits.
_PASS_SECONDS = 20.0
_PRUNE_BATCH = 1000


@dataclass
class SendingResult:
    """Deliveries of one pass by outcome; `postponed` are tried again."""

    sent: int = 0
    postponed: int = 0
    failed: int = 0


def send_due_deliveries() -> SendingResult:
    """Sends what is due. After a failure, the other deliveries of that channel wait for the next pass."""
    result = SendingResult()
    skipped: list[int] = []
    end = time.monotonic() + _PASS_SECONDS
    while time.monotonic() < end:
        due = Delivery.objects.due(database_now()).exclude(channel__in=skipped)
        delivery = due.select_related("channel").order_by("next_attempt_at", "pk").first()
        if delivery is None:
            break
        if not delivery.claim(database_now(), LEASE):
            # Another worker was faster.
            continue
        attempt(delivery)
        if delivery.status == Delivery.Status.SENT:
            result.sent += 1
            continue
        if delivery.status == Delivery.Status.PENDING:
            result.postponed += 1
        else:
            result.failed += 1
        if delivery.channel_id is not None:
            skipped.append(delivery.channel_id)
    return result


def attempt(delivery: Delivery, *, may_retry: bool = True) -> None:
    """Sends a claimed delivery once, and records how that went."""
    channel = delivery.channel
    if channel is None:
        delivery.record_failure(database_now(), gettext("The channel was deleted."), next_attempt_at=None)
        return
    if not channel.is_active and may_retry:
        delivery.suppress(gettext("The channel is inactive."))
        return
    try:
        send(channel, delivery)
    except DeliveryError as error:
        now = database_now()
        following = _next_attempt(delivery, now) if may_retry else None
        delivery.record_failure(now, str(error), next_attempt_at=following)
        channel.record_failure(now, str(error))
    else:
        now = database_now()
        delivery.record_success(now)
        channel.record_success(now)


def send_test_message(channel: Channel) -> Delivery:
    """Sends a test message now, also to an inactive channel; it is recorded, and not tried again."""
    message = Message(
        kind="test",
        service="",
        headline=_("Test message"),
        sentence=_("This channel receives messages of Synclog."),
        details=[(_("Channel"), channel.name)],
        url=absolute_url("/admin/"),
        reference="test",
    )
    queue_message([channel], message, is_test=True)
    delivery = Delivery.objects.select_related("channel").get(channel=channel, key=message.key)
    if delivery.claim(database_now(), LEASE):
        attempt(delivery, may_retry=False)
    return delivery


def prune_deliveries() -> int:
    """Deletes a batch of deliveries older than the retention of logs; returns their number."""
    old = Delivery.objects.filter(created_at__lt=database_now() - settings.LOG_RETENTION)
    batch = list(
        old.exclude(status=Delivery.Status.PENDING)
        .order_by("created_at")
        .values_list("pk", flat=True)[:_PRUNE_BATCH]
    )
    Delivery.objects.filter(pk__in=batch).delete()
    return len(batch)


def _next_attempt(delivery: Delivery, now: datetime) -> datetime | None:
    """When to try again: the last time when the day is over; None after that."""
    last = delivery.created_at + GIVE_UP_AFTER
    if now >= last:
        return None
    pause: timedelta = FIRST_PAUSE * 2 ** min(delivery.attempt_count - 1, 20)
    return min(now + min(pause, MAX_PAUSE), last)
