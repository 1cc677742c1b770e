"""Looks at everything that Synclog needs, and says in a sentence each what it finds."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from botocore.config import Config
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from storages.backends.s3 import S3Storage

from apps.runs.clock import database_now
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.models import Run, Tick
from apps.runs.payloads.expiry import expiry_lag
from apps.runs.tasks import answering_workers, check_broker

logger = logging.getLogger(__name__)

# Beyond these something is wrong: the scheduler ticks every ten seconds; a spool goes with the end of its run;
# expired payloads go within a minute; leases and schedules bear a clock that is a little off.
LONGEST_SILENCE = timedelta(seconds=60)
LONGEST_ORPHAN = timedelta(minutes=5)
LONGEST_EXPIRY_LAG = timedelta(minutes=15)
FURTHEST_CLOCK = timedelta(seconds=5)
LEAST_FREE_BYTES = 100 * 1024 * 1024

# A probe that waits for long is no answer.
_QUICK = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})


@dataclass(frozen=True)
class Finding:
    """What one check found; `name` is fixed, `label` and `detail` are for people."""

    name: str
    is_ok: bool
    detail: str

    @property
    def label(self) -> str:
        return str(_CHECKS[self.name][0])


class _Unwell(Exception):
    """What is wrong, in one sentence."""


def run_checks(*, is_thorough: bool = False) -> list[Finding]:
    """All checks in a fixed order, each whatever the others find.

    Quick enough for a page; with `is_thorough` the workers are asked to answer, and the payload store to take
    an object, give it back and delete it: seconds.
    """
    return [_finding(name, check, is_thorough) for name, (_label, check) in _CHECKS.items()]


def check_database() -> None:
    """Raises DatabaseError or InterfaceError where the database does not answer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_payload_store() -> None:
    """Raises an error of the store where it cannot be reached; writes nothing."""
    store: Any = _quick_store()
    if isinstance(store, S3Storage):
        store.connection.meta.client.head_bucket(Bucket=store.bucket_name)
    elif isinstance(store, FileSystemStorage):
        folder = Path(store.location)
        while not folder.exists():
            # It is made with the first payload.
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise NotADirectoryError(f"Files cannot be written to {folder}")


def _finding(name: str, check: Callable[[bool], str], is_thorough: bool) -> Finding:
    try:
        return Finding(name, True, check(is_thorough))
    except _Unwell as problem:
        return Finding(name, False, str(problem))
    # Whatever keeps it from answering, it is down; addresses and passwords stay in the process's log.
    except Exception as error:
        logger.warning("Doctor: the check of the %s failed", name, exc_info=True)
        return Finding(name, False, _("Does not answer (%(error)s).") % {"error": type(error).__name__})


def _look_at_database(_is_thorough: bool) -> str:
    started = time.monotonic()
    check_database()
    return _("%(vendor)s answers in %(ms)d ms.") % {
        "vendor": connection.display_name,
        "ms": (time.monotonic() - started) * 1000,
    }


def _look_at_broker(_is_thorough: bool) -> str:
    check_broker()
    return _("Can be reached.")


def _look_at_workers(is_thorough: bool) -> str:
    if is_thorough:
        names = answering_workers(timeout=2)
        if not names:
            raise _Unwell(_("No worker answers: are they started?"))
        return _("%(count)d answer: %(names)s.") % {"count": len(names), "names": ", ".join(names)}
    waiting = Run.objects.unclaimed().filter(queued_at__lt=Now() - timedelta(minutes=2)).count()
    if waiting:
        raise _Unwell(_("%(count)d runs wait for longer than two minutes.") % {"count": waiting})
    return _("No run waits for long.")


def _look_at_scheduler(_is_thorough: bool) -> str:
    ticked_at = Tick.objects.filter(name="queue_due_runs").values_list("ticked_at", flat=True).first()
    if ticked_at is None:
        raise _Unwell(_("It has never ticked: are beat and the housekeeping worker started?"))
    silence = database_now() - ticked_at
    if silence > LONGEST_SILENCE:
        raise _Unwell(
            _("Its last tick is %(age)s old: do beat and the housekeeping worker run?")
            % {"age": _in_words(silence)}
        )
    return _("Its last tick is %(age)s old.") % {"age": _in_words(silence)}


def _look_at_spool(_is_thorough: bool) -> str:
    folder: Path = settings.SPOOL_DIR
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        free = shutil.disk_usage(folder).free
    run_ids = spooled_runs()
    still_open = set(Run.objects.open().filter(pk__in=run_ids).values_list("pk", flat=True))
    size, orphans = 0, 0
    for run_id in run_ids:
        try:
            state = Spool(run_id).path.stat()
        except FileNotFoundError:
            # Its run has ended since.
            continue
        size += state.st_size
        orphans += run_id not in still_open and time.time() - state.st_mtime > LONGEST_ORPHAN.total_seconds()
    if orphans:
        raise _Unwell(
            _("%(count)d spools of runs that have ended were not shipped; see the housekeeping worker's log.")
            % {"count": orphans}
        )
    if free < LEAST_FREE_BYTES:
        raise _Unwell(_("Its disk has only %(free)d MiB left.") % {"free": free // 2**20})
    return _("%(count)d logs, %(size).1f MiB; %(free).1f GiB free.") % {
        "count": len(run_ids),
        "size": size / 2**20,
        "free": free / 2**30,
    }


def _look_at_payload_store(is_thorough: bool) -> str:
    check_payload_store()
    if not is_thorough:
        return _("Can be reached.")
    store = _quick_store()
    content = uuid.uuid4().hex.encode()
    key = store.save(f"payloads/probe/{content.decode()}", ContentFile(content))
    try:
        with store.open(key, "rb") as file:
            if file.read() != content:
                raise _Unwell(_("It gives back other bytes than it took."))
    finally:
        store.delete(key)
    return _("Takes an object, gives it back and deletes it.")


def _look_at_clock(_is_thorough: bool) -> str:
    difference = abs(database_now() - timezone.now())
    if difference > FURTHEST_CLOCK:
        raise _Unwell(
            _("This host and the database differ by %(seconds).1f s; lines would bear wrong times.")
            % {"seconds": difference.total_seconds()}
        )
    return _("This host and the database agree within %(seconds).1f s.") % {
        "seconds": difference.total_seconds()
    }


def _look_at_expiry(_is_thorough: bool) -> str:
    lag = expiry_lag()
    if not lag:
        return _("No expired payload is left.")
    if lag > LONGEST_EXPIRY_LAG:
        raise _Unwell(
            _("A payload that expired %(age)s ago is still in the store.") % {"age": _in_words(lag)}
        )
    return _("The oldest expired payload is %(age)s over its time.") % {"age": _in_words(lag)}


def _quick_store() -> Any:
    store = storages["payloads"]
    if not isinstance(store, S3Storage):
        return store
    parameters: Any = settings.STORAGES["payloads"]
    options = parameters["OPTIONS"] | {"client_config": store.client_config.merge(_QUICK)}
    return storages.create_storage({**parameters, "OPTIONS": options})


def _in_words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 120:
        return _("%(count)d s") % {"count": seconds}
    if seconds < 7200:
        return _("%(count)d min") % {"count": seconds // 60}
    return _("%(count)d h") % {"count": seconds // 3600}


_CHECKS: dict[str, tuple[Any, Callable[[bool], str]]] = {
    "database": (gettext_lazy("Database"), _look_at_database),
    "broker": (gettext_lazy("Broker"), _look_at_broker),
    "workers": (gettext_lazy("Workers"), _look_at_workers),
    "scheduler": (gettext_lazy("Scheduler"), _look_at_scheduler),
    "spool": (gettext_lazy("Log spool"), _look_at_spool),
    "payload_store": (gettext_lazy("Payload store"), _look_at_payload_store),
    "clock": (gettext_lazy("Clock"), _look_at_clock),
    "expiry": (gettext_lazy("Expiry"), _look_at_expiry),
}
