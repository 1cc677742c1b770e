"""Options of the message broker, and the cache that uses the same Redis."""

import re
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.environment import shared_file

REDIS = ("redis://", "rediss://")


def transport_options(url: str, folder: Path) -> dict[str, Any]:
    """Options of Celery's transport for this URL; `filesystem://` stores messages in `folder`."""
    if url.startswith("filesystem://"):
        queue, control = folder / "queue", folder / "control"
        for place in (queue, control):
            place.mkdir(parents=True, exist_ok=True)
        # Two workers that start at once must not read each other's incomplete files.
        for exchange in ("celery.pidbox", "runs", "housekeeping"):
            shared_file(control / f"{exchange}.exchange", "[]")
        return {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "control_folder": str(control),
            "polling_interval": 0.2,
        }
    if url.startswith(REDIS):
        return {"socket_timeout": 10, "socket_connect_timeout": 5}
    if url.startswith(("amqp://", "amqps://")):
        return {}
    raise ImproperlyConfigured(
        "CELERY_BROKER_URL has an unknown scheme; use redis://, rediss://, amqp://, amqps:// or "
        "filesystem://."
    )


def cache(broker_url: str) -> dict[str, Any]:
    """Django's cache: the Redis of the broker, shared by all processes, otherwise the memory of each process.

    `cache.clear()` would delete the messages of the broker as well.
    """
    if not broker_url.startswith(REDIS):
        return {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    # Celery accepts several URLs for a failover, and other names for the requirements on certificates.
    url = re.sub(
        "(?<=ssl_cert_reqs=)CERT_[A-Z]+", lambda match: match[0][5:].lower(), broker_url.split(";")[0]
    )
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [url],
        "KEY_PREFIX": "synclog",
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
