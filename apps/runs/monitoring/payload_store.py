"""Health check of the payload store."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.runs.models import Run
from apps.runs.payloads.object_store import is_s3
from apps.services.models import Service

# Runs that started within this time show which hosts execute runs.
HOSTS_SINCE = timedelta(hours=1)
# Short timeouts: a health check must not hang.
_QUICK: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 3, "retries": {"total_max_attempts": 1}}


class CheckFailed(Exception):
    """A check failed; the message says why, in one sentence."""


def check_payload_store() -> None:
    """Raises an error of the store if it is unreachable; writes nothing."""
    store: Any = _quick_store()
    if is_s3(store):
        store.connection.meta.client.head_bucket(Bucket=store.bucket_name)
    elif isinstance(store, FileSystemStorage):
        folder = Path(store.location)
        while not folder.exists():
            # The first payload creates it.
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise NotADirectoryError(f"Files cannot be written to {folder}")


def describe_payload_store(is_thorough: bool) -> str:
    """State of the store in one sentence; `is_thorough` writes, reads and deletes an object. Raises CheckFailed."""
    check_payload_store()
    _check_that_hosts_share_the_store()
    if not is_thorough:
        return _("Reachable.")
    store = _quick_store()
    content = uuid.uuid4().hex.encode()
    key = store.save(f"payloads/probe/{content.decode()}", ContentFile(content))
    try:
        with store.open(key, "rb") as file:
            if file.read() != content:
                raise CheckFailed(_("Read back different data than was written."))
    finally:
        store.delete(key)
    return _("Writes, reads and deletes an object.")


def _check_that_hosts_share_the_store() -> None:
    """Raises CheckFailed if several hosts execute runs while payloads are in a local folder."""
    if is_s3(storages["payloads"]):
        return
    started = Run.objects.filter(
        started_at__gte=Now() - HOSTS_SINCE, service__kind=Service.Kind.INTEGRATION
    ).exclude(worker="")
    hosts = sorted(
        {worker.partition(":")[0] for worker in started.values_list("worker", flat=True).distinct()}
    )
    if len(hosts) > 1:
        raise CheckFailed(
            _("A local folder, but several hosts execute runs: %(hosts)s. Use S3 (AWS_STORAGE_BUCKET_NAME).")
            % {"hosts": ", ".join(hosts)}
        )


def _quick_store() -> Any:
    store: Any = storages["payloads"]
    if not is_s3(store):
        return store
    # Only with S3, because the import delays the start of every process.
    from botocore.config import Config

    parameters: Any = settings.STORAGES["payloads"]
    options = parameters["OPTIONS"] | {"client_config": store.client_config.merge(Config(**_QUICK))}
    return storages.create_storage({**parameters, "OPTIONS": options})
