"""Sending of one delivery through its channel."""

from __future__ import annotations

from collections.abc import Iterator

from apps.alerts.channels.apprise import apprise_secrets, send_with_apprise
from apps.alerts.channels.email import send_email
from apps.alerts.channels.errors import DeliveryError
from apps.alerts.channels.webhook import send_webhook
from apps.alerts.models import Channel, Delivery
from apps.runs.log.text import clean_message, make_masker
from apps.services.secrets import SecretUnavailable

_SENDERS = {
    Channel.Kind.EMAIL: send_email,
    Channel.Kind.APPRISE: send_with_apprise,
    Channel.Kind.WEBHOOK: send_webhook,
}
_ERROR_CHARACTERS = 1000


def send(channel: Channel, delivery: Delivery) -> None:
    """Sends the delivery once. Raises DeliveryError, whose message has no secrets, unless the channel accepts it."""
    try:
        _SENDERS[Channel.Kind(channel.kind)](channel, delivery)
    except (DeliveryError, SecretUnavailable) as error:
        raise DeliveryError(_clean(str(error), channel)) from None
    except Exception as error:  # noqa: BLE001 - a message that no library expects must not stop the others
        raise DeliveryError(_clean(f"{type(error).__name__}: {error}", channel)) from None


def _clean(text: str, channel: Channel) -> str:
    mask = make_masker(_secrets(channel))
    text = clean_message(mask(text) if mask else text)
    return text if len(text) <= _ERROR_CHARACTERS else text[: _ERROR_CHARACTERS - 1] + "…"


def _secrets(channel: Channel) -> Iterator[str]:
    for secret in channel.secrets():
        yield secret
        if channel.kind == Channel.Kind.APPRISE:
            yield from apprise_secrets(secret)
