"""The outbox: messages are queued in the transaction of their event, and sent by housekeeping."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urljoin

from django.conf import settings

from apps.alerts.delivery.message import Message, RenderedMessage, render_message
from apps.alerts.models import Channel, Delivery
from apps.runs.clock import database_now


def queue_message(
    channels: Iterable[Channel], message: Message, *, is_test: bool = False, now: datetime | None = None
) -> None:
    """Queues the message once for each active channel; one of the same key is not queued again.

    A test goes to an inactive channel too. Sends nothing: the rows are committed or rolled back with the transaction
    of the caller.
    """
    now = now or database_now()
    rendered: dict[str, RenderedMessage] = {}
    deliveries = []
    for channel in channels:
        if not (channel.is_active or is_test):
            continue
        if channel.language not in rendered:
            rendered[channel.language] = render_message(message, channel.language)
        found = rendered[channel.language]
        deliveries.append(
            Delivery(
                key=message.key,
                channel=channel,
                channel_name=channel.name,
                reference=message.reference,
                subject=found.subject,
                text=found.text,
                html=found.html,
                payload=found.payload,
                created_at=now,
                next_attempt_at=now,
            )
        )
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)


def absolute_url(path: str) -> str:
    """Link for a message; empty if SYNCLOG_BASE_URL is not set."""
    return urljoin(settings.BASE_URL, path) if settings.BASE_URL else ""
