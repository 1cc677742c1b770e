"""Celery tasks and the notification of workers. Beside the tasks of alerts, no other module imports Celery."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial, wraps
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction
from kombu.exceptions import OperationalError

from apps.audit.retention import prune_audit_log as delete_old_entries
from apps.runs.clock import database_now
from apps.runs.execution import executor, queue, resync, worker_shutdown
from apps.runs.models import HousekeepingJob, Run
from apps.runs.payloads import expiry, reconciliation
from apps.runs.payloads.object_store import close_connections
from apps.runs.recovery import lost_runs, record_retention, retention
from apps.services.models import Service
from config.celery import app

logger = logging.getLogger(__name__)

# A request must not wait for the broker: unclaimed runs are sent again.
_GIVE_UP_SOON = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}


def start_run(service: Service, **how: Any) -> Run:
    """Queues a run and notifies the workers once it is committed; the keywords are those of `queue_run`.

    Raises ValidationError with the invalid fields.
    """
    run = queue.queue_run(service, **how)
    transaction.on_commit(partial(notify_workers, run.pk))
    return run


def start_resync(original: Run, **how: Any) -> Run:
    """Queues a run for some records of `original` and notifies the workers once it is committed; see `queue_resync`."""
    run = resync.queue_resync(original, **how)
    transaction.on_commit(partial(notify_workers, run.pk))
    return run


def notify_workers(run_id: int) -> None:
    """Notifies the workers about a queued run; if the broker is unreachable, the run is sent again later."""
    try:
        execute_run.apply_async(kwargs={"run_id": run_id}, retry_policy=_GIVE_UP_SOON)
    except (OperationalError, OSError) as error:
        logger.warning("Run %d waits: the broker is unreachable (%s)", run_id, type(error).__name__)


def check_broker(timeout: float = 2) -> None:
    """Raises OperationalError or OSError if the broker is not reachable within `timeout` seconds."""
    with app.connection_for_write(connect_timeout=timeout) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)


def responding_workers(timeout: float) -> list[str]:
    """Names of the workers that respond within `timeout` seconds."""
    return sorted(app.control.inspect(timeout=timeout).ping() or {})


def worker_name() -> str:
    """Name of this worker: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@worker_ready.connect
def close_runs_of_dead_workers(**_signal: Any) -> None:
    """At the start of a worker, closes runs that a dead worker on this host left."""
    try:
        lost_runs.close_lost_runs(worker=worker_name())
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Lost runs wait: the database is unreachable (%s)", type(error).__name__)
    finally:
        # Processes that are forked later must not inherit them.
        connections.close_all()
        close_connections()


@worker_shutting_down.connect
def begin_shutdown(**_signal: Any) -> None:
    """Starts the grace period: Celery itself waits for running runs without a limit."""
    worker_shutdown.start_grace_period()


@app.task(name="synclog.runs.execute")
def execute_run(*, run_id: int) -> None:
    executor.execute_run(run_id, worker=worker_name())
    try:
        lost_runs.ship_leftover_spools()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Spools of ended runs wait: the database is unreachable (%s)", type(error).__name__)


def skip_if_recent(job: Callable[[], None]) -> Callable[[], None]:
    """Skips the job if it ended less than a tenth of its interval ago: queued duplicates have nothing left to do.

    Only a tenth, because a job may take nearly as long as its interval.
    """
    schedule: dict[str, dict[str, Any]] = settings.CELERY_BEAT_SCHEDULE
    seconds = {entry["task"]: entry["schedule"] for entry in schedule.values()}
    pause = timedelta(seconds=seconds[f"synclog.housekeeping.{job.__name__}"] / 10)

    @wraps(job)
    def run() -> None:
        if not HousekeepingJob.has_run_within(job.__name__, pause):
            job()

    return run


@app.task(name="synclog.housekeeping.queue_due_runs")
@skip_if_recent
def queue_due_runs() -> None:
    result = queue.queue_due_runs(database_now())
    for run_id in [*(run.pk for run in result.queued), *queue.release_waiting_runs()]:
        notify_workers(run_id)
    HousekeepingJob.record_run("queue_due_runs", queued=len(result.queued), skipped=result.skipped_count)


@app.task(name="synclog.housekeeping.close_lost_runs")
@skip_if_recent
def close_lost_runs() -> None:
    closed = lost_runs.close_lost_runs(worker=worker_name())
    sent_again = queue.resend_unclaimed_runs()
    for run_id in sent_again:
        notify_workers(run_id)
    HousekeepingJob.record_run("close_lost_runs", closed=closed, sent_again=len(sent_again))


@app.task(name="synclog.housekeeping.delete_expired_payloads")
@skip_if_recent
def delete_expired_payloads() -> None:
    HousekeepingJob.record_run("delete_expired_payloads", **asdict(expiry.delete_expired_payloads()))


@app.task(name="synclog.housekeeping.reconcile_payloads")
@skip_if_recent
def reconcile_payloads() -> None:
    HousekeepingJob.record_run(
        "reconcile_payloads", **asdict(reconciliation.reconcile_payloads(database_now()))
    )


@app.task(name="synclog.housekeeping.prune_logs")
@skip_if_recent
def prune_logs() -> None:
    HousekeepingJob.record_run("prune_logs", **asdict(retention.prune_logs(settings.LOG_RETENTION)))


@app.task(name="synclog.housekeeping.prune_records")
@skip_if_recent
def prune_records() -> None:
    HousekeepingJob.record_run("prune_records", **asdict(record_retention.prune_records()))


@app.task(name="synclog.housekeeping.prune_audit_log")
@skip_if_recent
def prune_audit_log() -> None:
    HousekeepingJob.record_run("prune_audit_log", deleted=delete_old_entries(settings.AUDIT_RETENTION))
