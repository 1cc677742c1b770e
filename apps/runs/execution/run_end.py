"""Announcement that a run has ended, in the transaction that ends it."""

from __future__ import annotations

import logging

from django.db import connection, transaction
from django.dispatch import Signal

from apps.runs.models import Run

logger = logging.getLogger(__name__)

# Receivers get `run_id`. What they write is committed together with the end of the run.
run_ended = Signal()


def announce_run_end(run_id: int) -> None:
    """Calls the receivers in a savepoint: an error in a receiver is logged and does not prevent the end of the run."""
    try:
        with transaction.atomic():
            run_ended.send(sender=Run, run_id=run_id)
    # Any error of a receiver.
    except Exception:
        if connection.needs_rollback or connection.closed_in_transaction:
            # The database failed, so the end of the run cannot be committed either.
            raise
        logger.exception("Run %d ended, but a receiver of its end failed", run_id)
