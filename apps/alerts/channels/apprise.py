"""Apprise channels: the library runs in a process of its own, which the address guard confines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from apps.alerts.channels.errors import DeliveryError
from apps.alerts.models import Channel, Delivery

# In seconds, with the start of the process.
TIMEOUT = 60
_PROGRAM = "from apps.alerts.channels.apprise_process import main; main()"
_ROOT = Path(__file__).resolve().parents[3]
# Files that requests would read, and proxies, which would hide the address of the service from the guard.
_LEFT_OUT = ("NETRC", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PYTHONWARNINGS", "PYTEST_CURRENT_TEST")
# Parts of an Apprise URL that may be a token.
_SEPARATORS = re.compile(r"[/@:?&=#,]+")
_MIN_TOKEN = 6


def send_with_apprise(channel: Channel, delivery: Delivery) -> None:
    """Sends title and plain text. Raises DeliveryError or SecretUnavailable."""
    url = channel.get_secret()
    if not url:
        raise DeliveryError("The channel has no Apprise URL; enter it, or name its environment variable.")
    _run({"url": url, "title": delivery.subject, "body": delivery.text})


def check_apprise_url(url: str) -> None:
    """Raises DeliveryError unless the URL belongs to a service that may be used; sends nothing."""
    _run({"url": url})


def apprise_secrets(url: str) -> Iterator[str]:
    """Parts of the URL that may be tokens, which an error could quote."""
    for part in _SEPARATORS.split(url.partition("://")[2]):
        if len(part) >= _MIN_TOKEN:
            yield from {part, unquote(part)}


def _run(request: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name.upper() not in _LEFT_OUT}
    environment |= {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=_ROOT,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise DeliveryError(f"The service did not respond within {TIMEOUT} s.") from None
    try:
        error = json.loads(done.stdout)["error"]
    except (ValueError, KeyError, TypeError):
        raise DeliveryError(f"The process of Apprise ended with code {done.returncode}.") from None
    if error:
        raise DeliveryError(error)
