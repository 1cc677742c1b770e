"""Celery application: `celery -A config worker`, `celery -A config beat`."""

import gc
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from config.heartbeat import touch_regularly
from config.startup import one_line_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Celery would run Django's checks, which load all pages, and ignore the result.
os.environ["CELERY_SKIP_CHECKS"] = "1"

TRANSPORT_ALIASES["filesystem"] = "config.folder_broker:Transport"


def share_memory(**_signal: Any) -> None:
    """Loads what the processes of a worker need, before they are forked; garbage collectors must not copy it."""
    # Alerts link to pages.
    import_module(settings.ROOT_URLCONF)
    # Billiard loads it in each process.
    import_module("cffi.cparser")
    gc.freeze()


worker_init.connect(share_memory)

with one_line_errors():
    app = Celery("synclog", namespace="CELERY")
    app.config_from_object(settings, namespace="CELERY")
    # Celery would read them later, without one-line errors.
    settings.DATA_DIR  # noqa: B018
    app.autodiscover_tasks()
    if settings.HEARTBEAT_FILE:
        touch_regularly(Path(settings.HEARTBEAT_FILE))
