"""Webhook channels: requests that are signed as the specification of Standard Webhooks has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
import time

from apps.alerts.channels.errors import DeliveryError
from apps.alerts.models import Channel, Delivery
from apps.services.connectors.base import ConnectorError, RunContext
from apps.services.connectors.http.client import HttpClient, status_error
from apps.services.connectors.http.messages import HttpRequest
from apps.services.models import Connection

# In seconds.
_CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
TOTAL_TIMEOUT = 20.0
# Bytes of the response, which only explain a failure.
_MAX_RESPONSE = 4096
_PREFIX = "whsec_"
_MIN_KEY, _MAX_KEY = 24, 64
_SUCCESS = range(200, 300)


def send_webhook(channel: Channel, delivery: Delivery) -> None:
    """Sends the payload as JSON; only a status of 2xx is success. Raises DeliveryError or SecretUnavailable."""
    request = _signed_request(channel, delivery)
    deadline = time.monotonic() + TOTAL_TIMEOUT

    def check() -> None:
        if time.monotonic() > deadline:
            raise DeliveryError(f"{request}: no complete response within {TOTAL_TIMEOUT:g} s.")

    connection = Connection(
        name=channel.name,
        kind=Connection.Kind.HTTP,
        url=channel.url,
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
    )
    context = RunContext(run_id=0, max_attempts=1, check=check)
    client = HttpClient(connection, context)
    # Headers that arrive byte by byte never reach a read timeout.
    timer = threading.Timer(TOTAL_TIMEOUT, context.abandon)
    timer.start()
    try:
        response = client.send(request)
        # A connection that the timer shut down looks like the end of the headers.
        check()
        if response.status not in _SUCCESS:
            raise status_error(request, response)
    except ConnectorError as error:
        # The cause lacks the number of attempts, which is that of the client.
        raise DeliveryError(str(error.__cause__ or error)) from None
    finally:
        timer.cancel()
        client.close()


def _signed_request(channel: Channel, delivery: Delivery) -> HttpRequest:
    body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":")).encode()
    now = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": str(delivery.key),
        "webhook-timestamp": str(now),
        "webhook-signature": signature(channel.get_secret(), str(delivery.key), now, body),
    }
    # No status is retried here: the outbox tries again.
    return HttpRequest(
        "POST",
        channel.url,
        headers,
        body,
        final_statuses=range(1000),
        max_response_bytes=_MAX_RESPONSE,
    )


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`. Raises DeliveryError if the secret is not valid."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(signing_key(secret), content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def signing_key(secret: str) -> bytes:
    """The key in a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`. Raises DeliveryError."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _MIN_KEY <= len(key) <= _MAX_KEY:
        raise DeliveryError(
            f"The secret is not one of Standard Webhooks: write {_PREFIX} and then {_MIN_KEY} to {_MAX_KEY} random "
            "bytes in Base64, such as those of “openssl rand -base64 32”."
        )
    return key
