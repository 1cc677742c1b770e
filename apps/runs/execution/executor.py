"""Execution of a run by a worker: claim, pipeline, finalization."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import DatabaseError, InterfaceError, connection

from apps.runs.execution import worker_shutdown
from apps.runs.execution.finalization import end_run, end_run_without_spool
from apps.runs.execution.incremental import NextSince
from apps.runs.execution.interruption import RunCancelled, RunStopped, TooManyRefused, WorkerShutdown
from apps.runs.execution.pipeline import Pipeline
from apps.runs.execution.source_files import act_on_files, has_file_actions
from apps.runs.execution.supervision import supervise
from apps.runs.log.handler import Echo
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.models import Level, Run, Step
from apps.runs.payloads.capture import discard_captured, is_clean, store_captured
from apps.services.connectors.base import ConnectorError
from apps.services.sandbox.limits import ScriptError
from apps.services.secrets import SecretUnavailable

logger = logging.getLogger(__name__)

# Seconds for storing captured payloads after a failure, and if the run must end at once.
CAPTURE_TIMEOUT = 60.0
URGENT_CAPTURE_TIMEOUT = 1.5


def execute_run(run_id: int, *, worker: str, echo: Echo | None = None) -> Run | None:
    """Claims and executes a queued run. Returns the run as it ended, None if another worker has it or takes it
    over.

    `echo` is called with each line that is logged.
    """
    try:
        run, token = _claim(run_id, worker)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Run %d waits: the database is unreachable (%s)", run_id, type(error).__name__)
        connection.close()
        return None
    if run is None or token is None:
        return None
    try:
        log = RunLog(run, token, secrets=run.service.secrets(), echo=echo)
    except OSError as error:
        return _end_without_log(run, token, error)
    try:
        with log:
            outcome = _run_pipeline(run, token, log)
            if not is_clean(outcome.status, log.counters()):
                _store_captured_payloads(run, log, outcome)
            _log_end(log, outcome.status)
            end_run(
                run,
                token,
                log,
                outcome.status,
                may_retry=outcome.may_retry,
                next_since=outcome.next_since,
            )
    except LeaseLost:
        logger.warning("Run %s: the lease was lost; the run will be closed as lost", run_id)
        return None
    discard_captured(run.pk)
    run.refresh_from_db()
    return run


@dataclass(frozen=True)
class _Outcome:
    status: Run.Status
    # Whether a retry may end differently.
    may_retry: bool = True
    # Whether a person or a supervisor is waiting for the end.
    is_urgent: bool = False
    # Why the run ended, unless it succeeded.
    error: str = ""
    # What the next run starts with; None = as this one.
    next_since: NextSince | None = None


def _claim(run_id: int, worker: str) -> tuple[Run | None, uuid.UUID | None]:
    run = (
        Run.objects.select_related(
            "service__source_connection", "service__destination_connection", "script", "started_by"
        )
        .filter(pk=run_id)
        .first()
    )
    if run is None:
        logger.warning("Run %d cannot be executed: not found", run_id)
        return None, None
    token = run.claim(worker)
    if token is not None:
        run.refresh_from_db(fields=["status", "started_at", "lease_until", "lease_token", "worker"])
    return run, token


def _end_without_log(run: Run, token: uuid.UUID, error: OSError) -> Run:
    """Fails a run whose log cannot be written: nothing must happen without a log."""
    message = f"The log spool on {run.worker} cannot be written: {error.strerror or error}"
    logger.error("Run %d: %s", run.pk, message)
    end_run_without_spool(run, token, Run.Status.FAILED, Level.ERROR, message)
    run.refresh_from_db()
    return run


def _run_pipeline(run: Run, token: uuid.UUID, log: RunLog) -> _Outcome:
    """Executes the pipeline and logs why it ended, unless it succeeded."""
    _log_start(run)
    pipeline = Pipeline(run, log)
    outcome = _execute(pipeline)
    pipeline.finish(outcome.error)
    log.step = Step.FINISH
    if outcome.status == Run.Status.SUCCEEDED and log.read_from_database(lambda: has_file_actions(run)):
        _act_on_files(run, token, log, pipeline)
    return outcome


def _act_on_files(run: Run, token: uuid.UUID, log: RunLog, pipeline: Pipeline) -> None:
    """Moves or deletes the files that were read; what is left is for the next run."""
    # The run has succeeded from here on, also if this worker dies.
    log.record_end(Run.Status.SUCCEEDED, may_retry=False)
    try:
        supervise(partial(act_on_files, run, token, log, pipeline.check), pipeline.check, pipeline.abandon)
    except LeaseLost:
        raise
    except (ConnectorError, RunCancelled, RunStopped, WorkerShutdown) as error:
        logger.warning("The run has succeeded, but not all files were moved or deleted: %s", error)
    # The outcome of the run is certain.
    except Exception:
        logger.exception("The run has succeeded, but not all files were moved or deleted: internal error")


def _execute(pipeline: Pipeline) -> _Outcome:
    try:
        supervise(pipeline.execute, pipeline.check, pipeline.abandon)
    except LeaseLost:
        raise
    except RunCancelled as error:
        # Not a warning, which would open a problem: somebody cancelled the run on purpose.
        logger.info("%s", error)
        return _Outcome(Run.Status.CANCELLED, is_urgent=True, error=str(error))
    except WorkerShutdown as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected failure; its message says everything
        return _Outcome(Run.Status.LOST, is_urgent=True, error=str(error))
    except TooManyRefused as error:
        logger.error("%s", error)  # noqa: TRY400 - the same, and the same records would be refused again
        return _Outcome(Run.Status.FAILED, may_retry=False, error=str(error))
    except (ConnectorError, ScriptError, SecretUnavailable, RunStopped) as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected failure; its message says everything
        return _Outcome(Run.Status.FAILED, error=str(error))
    # Any error must end the run and be logged.
    except Exception:
        logger.exception("Internal error in Synclog")
        return _Outcome(Run.Status.FAILED, error="Internal error in Synclog")
    return _Outcome(Run.Status.SUCCEEDED, next_since=pipeline.next_since())


def _store_captured_payloads(run: Run, log: RunLog, outcome: _Outcome) -> None:
    """Stores the captured payloads, unless the payload store takes too long."""
    started = time.monotonic()

    def check() -> None:
        log.check_lease()
        is_urgent = outcome.is_urgent or log.cancel_requested or worker_shutdown.is_grace_period_over()
        if time.monotonic() - started > (URGENT_CAPTURE_TIMEOUT if is_urgent else CAPTURE_TIMEOUT):
            raise RunStopped("Not all captured payloads are stored: the payload store takes too long")

    try:
        supervise(partial(store_captured, run), check, log.detach_other_threads, stop_timeout=0)
    except RunStopped as error:
        logger.warning("%s", error)


def _log_start(run: Run) -> None:
    service = run.service
    by = f" by {run.started_by}" if run.started_by else ""
    trigger = run.trigger_label.lower()
    if run.retry_of_id:
        trigger += f" of run {run.retry_of_id}"
    logger.info("Run %d of %s, started%s (%s)", run.pk, service.name, by, trigger)
    if run.scheduled_for and run.started_at and run.started_at - run.scheduled_for > timedelta(minutes=2):
        logger.warning(
            "The run is late: its scheduled time was %s", f"{run.scheduled_for:%Y-%m-%d %H:%M} UTC"
        )
    if run.options:
        logger.info(
            "Options for this run only: %s",
            ", ".join(f"{key} = {value}" for key, value in run.options.items()),
        )
    if run.is_dry_run:
        logger.info("Dry run: nothing is pushed")
    if run.stores:
        logger.info("Payloads to store: %s", ", ".join(run.stores))
    if run.script:
        logger.info("Custom script: version %d", run.script.version)


def _log_end(log: RunLog, status: Run.Status) -> None:
    """Logs the outcome at level info, so that errors are counted once."""
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
