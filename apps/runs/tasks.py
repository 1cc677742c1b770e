"""Everything that Celery runs, and the bell that is rung for it; no other module knows Celery."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial, wraps
from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction
from kombu.exceptions import OperationalError

from apps.runs.clock import database_now
from apps.runs.execution import executor, queue, worker_shutdown
from apps.runs.models import Run, Tick
from apps.runs.payloads import expiry, reconciliation
from apps.runs.payloads.object_store import close_connections
from apps.runs.recovery import lost_runs, retention
from apps.services.models import Service

logger = logging.getLogger(__name__)

# A request must not wait for a broker that is away: the sweeper sends the run again.
_GIVE_UP_SOON = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}


def start_run(service: Service, **how: Any) -> Run:
    """Queue a run and ring the bell once it is committed; the keywords are those of `queue_run`.

    Raises ValidationError with the faulty fields.
    """
    run = queue.queue_run(service, **how)
    transaction.on_commit(partial(ring, run.pk))
    return run


def ring(run_id: int) -> None:
    """Tell the workers that a run waits; where the broker is away the sweeper tells them again."""
    try:
        execute_run.apply_async(kwargs={"run_id": run_id}, retry_policy=_GIVE_UP_SOON)
    except (OperationalError, OSError) as error:
        logger.warning("Run %d waits: the broker cannot be reached (%s)", run_id, type(error).__name__)


def check_broker(timeout: float = 2) -> None:
    """Raises OperationalError or OSError where the broker cannot be reached within `timeout` seconds."""
    with current_app.connection_for_write(connect_timeout=timeout) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)


def responding_workers(timeout: float) -> list[str]:
    """The names of the workers that answer within `timeout` seconds."""
    return sorted(current_app.control.inspect(timeout=timeout).ping() or {})


def worker_name() -> str:
    """Who executes, for people: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@worker_ready.connect
def recover_runs(**_signal: Any) -> None:
    """As soon as a worker starts: what another left behind on this host."""
    try:
        lost_runs.close_lost_runs(worker=worker_name())
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Lost runs wait for the next sweep: the database is away (%s)", type(error).__name__)
    finally:
        # The processes of the pool that are forked later must not inherit them.
        connections.close_all()
        close_connections()


@worker_shutting_down.connect
def give_grace(**_signal: Any) -> None:
    """Celery waits for the runs that go on, however long they take; so they are told until when they may."""
    worker_shutdown.announce()


@shared_task(name="synclog.runs.execute")
def execute_run(*, run_id: int) -> None:
    executor.execute_run(run_id, worker=worker_name())
    lost_runs.take_up_spools()


def _once_in_a_while(job: Callable[[], None]) -> Callable[[], None]:
    """Of the messages that piled up while no worker was there, the first does the work of all.

    The pause is short, for it begins when the job is done, and a job may take nearly as long as until the next one.
    """
    schedule: dict[str, dict[str, Any]] = settings.CELERY_BEAT_SCHEDULE
    seconds = {entry["task"]: entry["schedule"] for entry in schedule.values()}
    pause = timedelta(seconds=seconds[f"synclog.housekeeping.{job.__name__}"] / 10)

    @wraps(job)
    def run() -> None:
        if not Tick.is_fresh(job.__name__, pause):
            job()

    return run


@shared_task(name="synclog.housekeeping.queue_due_runs")
@_once_in_a_while
def queue_due_runs() -> None:
    slots = queue.queue_due_runs(database_now())
    for run_id in [*(run.pk for run in slots.queued), *queue.take_waiting()]:
        ring(run_id)
    Tick.note("queue_due_runs", queued=len(slots.queued), skipped=slots.skipped)


@shared_task(name="synclog.housekeeping.close_lost_runs")
@_once_in_a_while
def close_lost_runs() -> None:
    closed = lost_runs.close_lost_runs(worker=worker_name())
    sent_again = queue.send_again()
    for run_id in sent_again:
        ring(run_id)
    Tick.note("close_lost_runs", closed=closed, sent_again=len(sent_again))


@shared_task(name="synclog.housekeeping.delete_expired_payloads")
@_once_in_a_while
def delete_expired_payloads() -> None:
    Tick.note("delete_expired_payloads", **asdict(expiry.delete_expired_payloads()))


@shared_task(name="synclog.housekeeping.reconcile_payloads")
@_once_in_a_while
def reconcile_payloads() -> None:
    Tick.note("reconcile_payloads", **asdict(reconciliation.reconcile_payloads(database_now())))


@shared_task(name="synclog.housekeeping.prune_logs")
@_once_in_a_while
def prune_logs() -> None:
    Tick.note("prune_logs", **asdict(retention.prune_logs(settings.LOG_RETENTION)))
