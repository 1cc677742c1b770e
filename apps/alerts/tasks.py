"""Celery tasks of problems and alerts."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from apps.alerts.delivery import sending
from apps.alerts.incidents.clock_events import evaluate_clock
from apps.alerts.problems import recurrence, retention
from apps.runs.clock import database_now
from apps.runs.models import HousekeepingJob
from apps.runs.tasks import skip_if_recent
from config.celery import app


@app.task(name="synclog.housekeeping.note_problems")
@skip_if_recent
def note_problems() -> None:
    HousekeepingJob.record_run("note_problems", **asdict(recurrence.note_occurrences(database_now())))


@app.task(name="synclog.housekeeping.prune_problems")
@skip_if_recent
def prune_problems() -> None:
    deleted = retention.prune_problems(database_now() - timedelta(days=1))
    HousekeepingJob.record_run("prune_problems", deleted=deleted)


@app.task(name="synclog.housekeeping.send_deliveries")
@skip_if_recent
def send_deliveries() -> None:
    HousekeepingJob.record_run("send_deliveries", **asdict(sending.send_due_deliveries()))


@app.task(name="synclog.housekeeping.prune_deliveries")
@skip_if_recent
def prune_deliveries() -> None:
    HousekeepingJob.record_run("prune_deliveries", deleted=sending.prune_deliveries())


@app.task(name="synclog.housekeeping.evaluate_alerts")
@skip_if_recent
def evaluate_alerts() -> None:
    HousekeepingJob.record_run("evaluate_alerts", **asdict(evaluate_clock(database_now())))
