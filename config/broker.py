"""Options of the message broker, and the caches that use the same Redis."""

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


def caches(broker_url: str, folder: Path) -> dict[str, Any]:
    """Django's caches: `default` with the limits of logins, and `requests` with the limits of the API.

    With Redis, the one of the broker, all processes share both. Otherwise the processes of a host share the first one
    in `folder`, and the second one, which every request of the API uses, is in the memory of each process.
    `cache.clear()` would delete the messages of the broker as well.
    """
    files = {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(folder),
        "OPTIONS": {"MAX_ENTRIES": 2000},
    }
    if not broker_url.startswith(REDIS):
        memory = {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
        return {"default": files, "requests": memory}
    # Celery accepts several URLs for a failover, and other names for the requirements on certificates.
    url = re.sub(
        "(?<=ssl_cert_reqs=)CERT_[A-Z]+", lambda match: match[0][5:].lower(), broker_url.split(";")[0]
    )
    redis = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [url],
        "KEY_PREFIX": "synclog",
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
    failover = {"BACKEND": "config.failover_cache.FailoverCache", "FILES": files}
    return {"default": redis | failover, "requests": redis}
