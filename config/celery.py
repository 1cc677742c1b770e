"""Celery application: `celery -A config worker`, `celery -A config beat`."""

import os
from pathlib import Path

from celery import Celery
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from config.heartbeat import touch_regularly
from config.startup import one_line_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TRANSPORT_ALIASES["filesystem"] = "config.folder_broker:Transport"

with one_line_errors():
    app = Celery("synclog", namespace="CELERY")
    app.config_from_object(settings, namespace="CELERY")
    # Celery would read them later, without one-line errors.
    settings.DATA_DIR  # noqa: B018
    app.autodiscover_tasks()
    if settings.HEARTBEAT_FILE:
        touch_regularly(Path(settings.HEARTBEAT_FILE))
