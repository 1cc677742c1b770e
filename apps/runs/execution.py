"""Executes a run: claims it, pulls, puts through the script, pushes, and ends it, whatever happens."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils import timezone

from apps.runs.logs.handler import Echo
from apps.runs.logs.run_log import RunLog
from apps.runs.logs.shipper import LeaseLost
from apps.runs.models import Run, Step
from apps.runs.payloads.expiry import set_expiry
from apps.runs.pipeline import Pipeline
from apps.runs.stopping import RunCancelled, RunStopped
from apps.services.connectors.base import ConnectorError
from apps.services.sandbox import ScriptError
from apps.services.secrets import SecretUnavailable

logger = logging.getLogger(__name__)


def execute_run(run_id: int, *, worker: str, echo: Echo | None = None) -> Run | None:
    """Claim and execute a queued run; the run as it ended, or None where another delivery has it.

    `echo` is told each line as it is logged. Returns None too where the lease was lost on the way: the run
    then belongs to whoever closes lost runs.
    """
    run = Run.objects.select_related(
        "service__source_connection", "service__destination_connection", "script", "started_by"
    ).get(pk=run_id)
    token = run.claim(worker)
    if token is None:
        return None
    run.refresh_from_db(fields=["status", "started_at", "lease_until", "lease_token"])
    log = RunLog(run, token, secrets=_secrets_of(run), echo=echo)
    try:
        with log:
            status = _run_pipeline(run, log)
            _log_end(run, log, status)
            end_run(run, token, log, status)
    except LeaseLost:
        logger.warning("Run %s: the lease was lost, and whoever closes lost runs has it now", run_id)
        return None
    run.refresh_from_db()
    return run


def end_run(run: Run, token: uuid.UUID, log: RunLog, status: Run.Status) -> None:
    """Seal the log and end the run; tries again while the database is away and the lease lasts.

    Raises LeaseLost where the run was taken from us.
    """
    while True:
        try:
            seal = log.seal()
            with transaction.atomic():
                if not run.finish(token, status, **log.counters(), **seal.columns()):
                    raise LeaseLost
                set_expiry(run, settings.PAYLOAD_RETENTION)
            log.remove_spool()
        except (DatabaseError, InterfaceError):
            connection.close()
            time.sleep(1)
        else:
            return


def _run_pipeline(run: Run, log: RunLog) -> Run.Status:
    """Run it to its end, and say in the log why it ended where that was not as hoped."""
    _log_start(run)
    try:
        Pipeline(run, log).execute()
    except LeaseLost:
        raise
    except RunCancelled as error:
        logger.warning("%s", error)
        return Run.Status.CANCELLED
    except (ConnectorError, ScriptError, SecretUnavailable, RunStopped) as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected failure, told in full by its message
        return Run.Status.FAILED
    # Whatever it is, the run must end, and its log must say why.
    except Exception:
        logger.exception("The run met an error in Synclog itself")
        return Run.Status.FAILED
    return Run.Status.SUCCEEDED


def _log_start(run: Run) -> None:
    service = run.service
    by = f" by {run.started_by}" if run.started_by else ""
    logger.info("Run %d of %s, started%s (%s)", run.pk, service.name, by, run.get_trigger_display().lower())
    if run.scheduled_for and run.started_at and run.started_at - run.scheduled_for > timedelta(minutes=2):
        logger.warning("The slot was %s: the run is late", f"{run.scheduled_for:%Y-%m-%d %H:%M} UTC")
    if run.options:
        logger.info(
            "For this run only: %s", ", ".join(f"{key} = {value}" for key, value in run.options.items())
        )
    if run.is_dry_run:
        logger.info("Dry run: nothing is pushed")
    if run.stores:
        logger.info("Payloads are stored: %s", ", ".join(run.stores))
    if run.script:
        logger.info("Custom script: version %d", run.script.version)


def _log_end(run: Run, log: RunLog, status: Run.Status) -> None:
    log.step = Step.FINISH
    counters = log.counters()
    started_at = run.started_at or timezone.now()
    seconds = max(0.0, (timezone.now() - started_at).total_seconds())
    level = logging.INFO if status == Run.Status.SUCCEEDED else logging.WARNING
    if status == Run.Status.FAILED:
        level = logging.ERROR
    logger.log(
        level,
        "%s after %.1f s: %d pulled, %d pushed, %d warnings, %d errors",
        f"Run {status.label.lower()}",
        seconds,
        counters["pulled_count"],
        counters["pushed_count"],
        counters["warning_count"],
        counters["error_count"],
    )


def _secrets_of(run: Run) -> Iterable[str]:
    """The secrets to be hidden in the log; one that cannot be had cannot be said either."""
    for system in (run.service.source_connection, run.service.destination_connection):
        with suppress(SecretUnavailable):
            if system is not None:
                yield system.get_secret()
