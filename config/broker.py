"""How the workers' messages travel."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.environment import shared_file

REDIS = ("redis://", "rediss://")


def transport_options(url: str, folder: Path) -> dict[str, Any]:
    """What Celery's transport of that URL needs; one of `filesystem://` keeps its messages in `folder`."""
    if url.startswith("filesystem://"):
        queue, control = folder / "queue", folder / "control"
        for place in (queue, control):
            place.mkdir(parents=True, exist_ok=True)
        # Of two workers that start at once, one would read what the other has not written yet, and end.
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
        "CELERY_BROKER_URL names none of redis://, rediss://, amqp://, amqps://, filesystem://."
    )
