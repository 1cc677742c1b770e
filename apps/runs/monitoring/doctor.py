"""Health checks of everything that Synclog needs, with one sentence for each result."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.runs.clock import database_now
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.models import HousekeepingJob, Run
from apps.runs.monitoring.payload_store import CheckFailed, describe_payload_store
from apps.runs.payloads.expiry import expiry_lag
from apps.runs.tasks import check_broker, responding_workers

logger = logging.getLogger(__name__)

# Limits beyond which a check fails. The scheduler runs every 10 s; a spool is removed at the end of its run; expired
# payloads are deleted within a minute.
MAX_SCHEDULER_SILENCE = timedelta(seconds=60)
MAX_ORPHAN_AGE = timedelta(minutes=5)
MAX_EXPIRY_LAG = timedelta(minutes=15)
MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)
MIN_FREE_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True)
class CheckResult:
    """Result of one check; `name` is stable, `label` and `detail` are translated."""

    name: str
    is_ok: bool
    detail: str

    @property
    def label(self) -> str:
        return str(_CHECKS[self.name][0])


def run_checks(*, is_thorough: bool = False) -> list[CheckResult]:
    """Results of all checks in a fixed order.

    Fast enough for a page. With `is_thorough`, workers are pinged, and an object is written to the payload store,
    read back and deleted: this takes seconds.
    """
    if is_thorough and _lacks_migrations():
        # Every other check would fail for this reason alone.
        return [CheckResult("database", False, _("Migrations are missing; run “manage.py migrate”."))]
    return [
        _run_check(name, check, is_thorough)
        for name, (_label, check) in _CHECKS.items()
        if name != "openid_provider" or (settings.OPENID_PROVIDER and is_thorough)
    ]


def check_database() -> None:
    """Raises DatabaseError or InterfaceError if the database does not respond."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _lacks_migrations() -> bool:
    """Whether migrations are missing; False if the database does not respond."""
    try:
        executor = MigrationExecutor(connection)
    except (DatabaseError, InterfaceError):
        return False
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _run_check(name: str, check: Callable[[bool], str], is_thorough: bool) -> CheckResult:
    try:
        return CheckResult(name, True, check(is_thorough))
    except CheckFailed as error:
        return CheckResult(name, False, str(error))
    # Any error means that it is down. Details may contain addresses and passwords: they go to the log only.
    except Exception as error:
        logger.warning("Health check %s failed", name, exc_info=True)
        return CheckResult(name, False, _("Does not respond (%(error)s).") % {"error": type(error).__name__})


def _check_database(_is_thorough: bool) -> str:
    started = time.monotonic()
    check_database()
    return _("%(vendor)s responds in %(ms)d ms.") % {
        "vendor": connection.display_name,
        "ms": (time.monotonic() - started) * 1000,
    }


def _check_broker(_is_thorough: bool) -> str:
    check_broker()
    return _("Reachable.")


def _check_workers(is_thorough: bool) -> str:
    if is_thorough:
        names = responding_workers(timeout=2)
        if not names:
            raise CheckFailed(_("No worker responds; start the workers."))
        return _("%(count)d respond: %(names)s.") % {"count": len(names), "names": ", ".join(names)}
    waiting = Run.objects.unclaimed().filter(queued_at__lt=Now() - timedelta(minutes=2)).count()
    if waiting:
        raise CheckFailed(
            _("%(count)d runs have been waiting for over two minutes; check the workers.")
            % {"count": waiting}
        )
    return _("No run has been waiting for long.")


def _check_scheduler(_is_thorough: bool) -> str:
    last_run_at = (
        HousekeepingJob.objects.filter(name="queue_due_runs").values_list("last_run_at", flat=True).first()
    )
    if last_run_at is None:
        raise CheckFailed(_("Has never run; start the scheduler and the housekeeping worker."))
    silence = database_now() - last_run_at
    if silence > MAX_SCHEDULER_SILENCE:
        raise CheckFailed(
            _("Last ran %(age)s ago; check the scheduler and the housekeeping worker.")
            % {"age": _duration(silence)}
        )
    return _("Last ran %(age)s ago.") % {"age": _duration(silence)}


def _check_spool(_is_thorough: bool) -> str:
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
            # Its run has ended in the meantime.
            continue
        size += state.st_size
        orphans += run_id not in still_open and time.time() - state.st_mtime > MAX_ORPHAN_AGE.total_seconds()
    if orphans:
        raise CheckFailed(
            _(
                "%(count)d logs of ended runs are not in the database yet; see the log of the housekeeping worker."
            )
            % {"count": orphans}
        )
    if free < MIN_FREE_BYTES:
        raise CheckFailed(_("Only %(free)d MiB left on its disk; free some space.") % {"free": free // 2**20})
    return _("%(count)d logs, %(size)s MiB; %(free)s GiB free.") % {
        "count": len(run_ids),
        "size": number_format(size / 2**20, 1),
        "free": number_format(free / 2**30, 1),
    }


def _check_clock(_is_thorough: bool) -> str:
    difference = abs(database_now() - timezone.now())
    if difference > MAX_CLOCK_DIFFERENCE:
        raise CheckFailed(
            _("This host and the database differ by %(seconds)s s; synchronize the clocks.")
            % {"seconds": number_format(difference.total_seconds(), 1)}
        )
    return _("This host and the database agree within %(seconds)s s.") % {
        "seconds": number_format(difference.total_seconds(), 1)
    }


def _check_expiry(_is_thorough: bool) -> str:
    lag = expiry_lag()
    if not lag:
        return _("No expired payload is waiting for deletion.")
    if lag > MAX_EXPIRY_LAG:
        raise CheckFailed(
            _("A payload that expired %(age)s ago is still stored; see the log of the housekeeping worker.")
            % {"age": _duration(lag)}
        )
    return _("The oldest expired payload has been waiting for %(age)s.") % {"age": _duration(lag)}


def _check_openid_provider(_is_thorough: bool) -> str:
    # Only with a provider, because the import delays the start of every process.
    import requests

    provider: Any = settings.OPENID_PROVIDER
    url = f"{provider.issuer}/.well-known/openid-configuration"
    response = requests.get(url, timeout=(2, 3))
    response.raise_for_status()
    issuer = response.json().get("issuer")
    if str(issuer).rstrip("/") != provider.issuer:
        raise CheckFailed(
            _("Calls itself %(issuer)s; set SYNCLOG_OIDC_ISSUER to this address.") % {"issuer": issuer}
        )
    names = {name for _theirs, name in provider.groups}
    missing = names - set(Group.objects.filter(name__in=names).values_list("name", flat=True))
    if missing:
        raise CheckFailed(
            _("Groups of SYNCLOG_OIDC_GROUPS do not exist: %(names)s. Add them under Groups.")
            % {"names": ", ".join(sorted(missing))}
        )
    return _("Responds; all groups exist.")


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 120:
        return _("%(count)d s") % {"count": seconds}
    if seconds < 7200:
        return _("%(count)d min") % {"count": seconds // 60}
    return _("%(count)d h") % {"count": seconds // 3600}


_CHECKS: dict[str, tuple[Any, Callable[[bool], str]]] = {
    "database": (gettext_lazy("Database"), _check_database),
    "broker": (gettext_lazy("Broker"), _check_broker),
    "workers": (gettext_lazy("Workers"), _check_workers),
    "scheduler": (gettext_lazy("Scheduler"), _check_scheduler),
    "spool": (gettext_lazy("Log spool"), _check_spool),
    "payload_store": (gettext_lazy("Payload store"), describe_payload_store),
    "clock": (gettext_lazy("Clock"), _check_clock),
    "expiry": (gettext_lazy("Expiry"), _check_expiry),
    "openid_provider": (gettext_lazy("OpenID provider"), _check_openid_provider),
}
