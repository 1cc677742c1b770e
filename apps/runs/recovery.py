"""Closes runs whose worker died, with every line that it had logged."""

from __future__ import annotations

import logging

from django.core.files.storage import storages
from django.db.models.functions import Now

from apps.runs.execution import end_run
from apps.runs.logs.run_log import RunLog
from apps.runs.logs.shipper import LeaseLost
from apps.runs.logs.spool import Spool, spooled_runs
from apps.runs.models import Payload, Run, Step

logger = logging.getLogger(__name__)


def close_lost_runs(*, worker: str) -> int:
    """Ship what the dead workers' spools on this host hold, and end their runs as lost; how many."""
    closed = 0
    for run in Run.objects.lost().order_by("pk"):
        token = run.take_over(worker)
        if token is None:
            continue
        try:
            with RunLog(run, token) as log:
                log.step = Step.FINISH
                logger.error(
                    "Run lost: its worker %s has not been heard from for over a minute. "
                    "What it had logged is above; start the run again if it is safe to repeat.",
                    run.worker or "(unknown)",
                )
                _settle_uploads(run)
                end_run(run, token, log, Run.Status.LOST)
        except LeaseLost:
            continue
        closed += 1
    if closed:
        logger.warning("Lost runs: %d closed", closed)
    _remove_orphaned_spools()
    return closed


def _settle_uploads(run: Run) -> None:
    """What was being uploaded when the worker died is not whole: delete it and say that it is lost."""
    for payload in run.payloads.filter(status=Payload.Status.PENDING):
        storages["payloads"].delete(payload.key)
        run.payloads.filter(pk=payload.pk).update(status=Payload.Status.LOST, deleted_at=Now())


def _remove_orphaned_spools() -> None:
    """A spool whose run has ended, its log sealed and whole: the worker died between the two."""
    run_ids = spooled_runs()
    ended = Run.objects.filter(pk__in=run_ids, is_complete=True).exclude(status__in=Run.OPEN)
    existing = set(Run.objects.filter(pk__in=run_ids).values_list("pk", flat=True))
    for run_id in {*ended.values_list("pk", flat=True), *(set(run_ids) - existing)}:
        Spool(run_id).remove()
