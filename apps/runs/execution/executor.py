"""Executes a run: claims it, pulls, puts through the script, pushes, and ends it, whatever happens."""

from __future__ import annotations

import logging
import time
import uuid
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import DatabaseError, InterfaceError, connection

from apps.runs.execution import worker_shutdown
from apps.runs.execution.closing import close_run
from apps.runs.execution.finalization import end_run
from apps.runs.execution.interruption import RunCancelled, RunStopped, TooManyRefused, WorkerLeaves
from apps.runs.execution.pipeline import Pipeline
from apps.runs.execution.supervision import supervise
from apps.runs.log.handler import Echo
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.models import Level, Run, Step
from apps.runs.payloads.capture import discard_captured, is_smooth, keep_captured
from apps.services.connectors.base import ConnectorError
from apps.services.models import Connection
from apps.services.sandbox import ScriptError
from apps.services.secrets import SecretUnavailable

logger = logging.getLogger(__name__)

# In seconds: for how long a run that has failed may take to store what was held back, and one that is to end now.
EVIDENCE_WITHIN = 60.0
EVIDENCE_IN_A_HURRY = 1.5


def execute_run(run_id: int, *, worker: str, echo: Echo | None = None) -> Run | None:
    """Claim and execute a queued run; the run as it ended, or None where it is not ours to execute.

    `echo` is told each line as it is logged. Returns None too where the lease was lost on the way: the run
    then belongs to whoever closes lost runs.
    """
    try:
        run, token = _claim(run_id, worker)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Run %d waits: the database cannot be reached (%s)", run_id, type(error).__name__)
        connection.close()
        return None
    if run is None or token is None:
        return None
    try:
        log = RunLog(run, token, secrets=_secrets_of(run), echo=echo)
    except OSError as error:
        return _end_without_log(run, token, error)
    try:
        with log:
            ending = _run_pipeline(run, log)
            log.step = Step.FINISH
            if not is_smooth(ending.status, log.counters()):
                _keep_evidence(run, log, ending)
            _log_end(log, ending.status)
            end_run(run, token, log, ending.status, may_retry=ending.may_retry)
    except LeaseLost:
        logger.warning("Run %s: the lease was lost, and whoever closes lost runs has it now", run_id)
        return None
    discard_captured(run.pk)
    run.refresh_from_db()
    return run


@dataclass(frozen=True)
class _Ending:
    status: Run.Status
    # Whether it may end otherwise if it is run again.
    may_retry: bool = True
    # Whether somebody waits for the end.
    is_urgent: bool = False


def _claim(run_id: int, worker: str) -> tuple[Run | None, uuid.UUID | None]:
    run = (
        Run.objects.select_related(
            "service__source_connection", "service__destination_connection", "script", "started_by"
        )
        .filter(pk=run_id)
        .first()
    )
    if run is None:
        logger.warning("Run %d was to be executed, but there is no such run", run_id)
        return None, None
    token = run.claim(worker)
    if token is not None:
        run.refresh_from_db(fields=["status", "started_at", "lease_until", "lease_token", "worker"])
    return run, token


def _end_without_log(run: Run, token: uuid.UUID, error: OSError) -> Run:
    """Fail a run whose log cannot be spooled: it must not do what nobody could read about."""
    message = f"The log's spool on {run.worker} cannot be written: {error.strerror or error}"
    logger.error("Run %d: %s", run.pk, message)
    close_run(run, token, Run.Status.FAILED, Level.ERROR, message)
    run.refresh_from_db()
    return run


def _run_pipeline(run: Run, log: RunLog) -> _Ending:
    """Run it to its end, and say in the log why it ended where that was not as hoped."""
    _log_start(run)
    pipeline = Pipeline(run, log)
    try:
        supervise(pipeline.execute, pipeline.check, pipeline.leave_behind)
    except LeaseLost:
        raise
    except RunCancelled as error:
        logger.warning("%s", error)
        return _Ending(Run.Status.CANCELLED, is_urgent=True)
    except WorkerLeaves as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected failure, told in full by its message
        return _Ending(Run.Status.LOST, is_urgent=True)
    except TooManyRefused as error:
        logger.error("%s", error)  # noqa: TRY400 - the same, and the same records would be refused again
        return _Ending(Run.Status.FAILED, may_retry=False)
    except (ConnectorError, ScriptError, SecretUnavailable, RunStopped) as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected failure, told in full by its message
        return _Ending(Run.Status.FAILED)
    # Whatever it is, the run must end, and its log must say why.
    except Exception:
        logger.exception("The run met an error in Synclog itself")
        return _Ending(Run.Status.FAILED)
    return _Ending(Run.Status.SUCCEEDED)


def _keep_evidence(run: Run, log: RunLog, ending: _Ending) -> None:
    """Store the payloads that were held back, unless the store takes too long over it."""
    started = time.monotonic()

    def check() -> None:
        log.check_lease()
        is_urgent = ending.is_urgent or log.cancel_requested or worker_shutdown.is_grace_over()
        if time.monotonic() - started > (EVIDENCE_IN_A_HURRY if is_urgent else EVIDENCE_WITHIN):
            raise RunStopped(
                "Not all payloads that were held back are kept: the payload store takes too long"
            )

    try:
        supervise(partial(keep_captured, run), check, log.hush_others, patience=0)
    except RunStopped as error:
        logger.warning("%s", error)


def _log_start(run: Run) -> None:
    service = run.service
    by = f" by {run.started_by}" if run.started_by else ""
    if run.retry_of_id:
        by += f", again after run {run.retry_of_id}"
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


def _log_end(log: RunLog, status: Run.Status) -> None:
    """At level info however it ended, so that what went wrong is counted once."""
    log.step = Step.FINISH
    counters = log.counters()
    warnings, errors = counters["warning_count"], counters["error_count"]
    logger.info(
        "Run %s after %.1f s: %d pulled, %d pushed, %d %s, %d %s",
        status.label.lower(),
        log.seconds,
        counters["pulled_count"],
        counters["pushed_count"],
        warnings,
        "warning" if warnings == 1 else "warnings",
        errors,
        "error" if errors == 1 else "errors",
    )


def _secrets_of(run: Run) -> Iterable[str]:
    """What is to be hidden in the log; a secret that cannot be had cannot be said either."""
    for system in (run.service.source_connection, run.service.destination_connection):
        with suppress(SecretUnavailable):
            if system is not None and (secret := system.get_secret()):
                yield secret
                if system.auth == Connection.Auth.BASIC:
                    # As the header has it, RFC 7617.
                    yield b64encode(f"{system.auth_username}:{secret}".encode()).decode()
