"""Whether the process lives, and whether what it needs is there: for load balancers and their like."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from botocore.config import Config
from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from storages.backends.s3 import S3Storage

from apps.runs.tasks import check_broker

logger = logging.getLogger(__name__)

# A probe that waits for long is no answer.
_QUICK = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all; it asks nothing of others."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 while everything that is needed is there, else 503; names what is down, and nothing more of it."""
    checks = {
        "database": _is_up("database", _check_database),
        "broker": _is_up("broker", check_broker),
        "payload_store": _is_up("payload store", _check_payload_store),
    }
    is_ready = all(checks.values())
    document = {
        "status": "ready" if is_ready else "not ready",
        "checks": {name: "up" if is_up else "down" for name, is_up in checks.items()},
    }
    return JsonResponse(document, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


def _is_up(name: str, check: Callable[[], Any]) -> bool:
    try:
        check()
    # Whatever keeps it from answering, it is down; the log says why, the answer does not.
    except Exception:
        logger.warning("Not ready: the %s is down", name, exc_info=True)
        return False
    return True


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _check_payload_store() -> None:
    store = storages["payloads"]
    if isinstance(store, S3Storage):
        parameters: Any = settings.STORAGES["payloads"]
        client_config = store.client_config.merge(_QUICK)
        quick: Any = storages.create_storage(
            {**parameters, "OPTIONS": {**parameters["OPTIONS"], "client_config": client_config}}
        )
        quick.connection.meta.client.head_bucket(Bucket=quick.bucket_name)
    elif isinstance(store, FileSystemStorage):
        folder = Path(store.location)
        while not folder.exists():
            # It is made with the first payload.
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise NotADirectoryError(f"Files cannot be written to {folder}")
