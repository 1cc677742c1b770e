"""Closes runs whose worker died, and ships every line that a spool on this host still holds."""

from __future__ import annotations

import errno
import logging
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError

from apps.runs.execution.closing import close_run, newest_sequence
from apps.runs.log.shipper import LeaseLost, Shipper
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.models import Level, Run
from apps.runs.payloads.capture import is_smooth, keep_captured, settle_orphaned_captures
from apps.runs.recovery.late_lines import add_late_lines
from apps.services.models import Service

logger = logging.getLogger(__name__)


def close_lost_runs(*, worker: str) -> int:
    """Ship what the dead workers' spools on this host hold, and end their runs; how many.

    A run is lost, unless its worker had come to the end and only could not write that down.
    """
    closed = 0
    for run in Run.objects.lost().select_related("service").order_by("pk"):
        token = run.take_over(worker)
        if token is None:
            continue
        try:
            _close(run, token, worker)
        except LeaseLost:
            continue
        closed += 1
    if closed:
        logger.warning("Lost runs: %d closed", closed)
    take_up_spools()
    settle_orphaned_captures()
    return closed


def take_up_spools() -> None:
    """Ship what spools of runs that have ended still hold, and take them away.

    Such a spool is left where a run was closed on another host, or while its worker was only stopped, and where
    a worker died right after it had written the end.
    """
    run_ids = spooled_runs()
    if not run_ids:
        return
    still_open = set(Run.objects.open().filter(pk__in=run_ids).values_list("pk", flat=True))
    for run_id in run_ids:
        if run_id in still_open:
            continue
        try:
            with closing(Spool(run_id)) as spool:
                # Its writer lives where we do not get the lock, and may still write.
                if spool.take_up():
                    add_late_lines(run_id, spool)
                    spool.remove()
        except FileNotFoundError:
            # Its run has ended since.
            continue
        except (OSError, ValueError, DataError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                # The latest lines of a long log are put behind its head once the disk has room.
                continue
            logger.exception("The spool of run %d cannot be shipped, and is set aside", run_id)
            Spool(run_id).set_aside()


@dataclass
class _Remains:
    """What the spool of a dead worker told."""

    end: dict[str, Any] | None = None
    checksum: int | None = None
    missing: str = ""
    # Of the columns of Run, those that only the worker knew.
    counters: dict[str, Any] = field(default_factory=dict)


def _close(run: Run, token: uuid.UUID, worker: str) -> None:
    with closing(Spool(run.pk)) as spool:
        remains = _ship(run, token, spool, worker)
        status, level = Run.Status.LOST, Level.ERROR
        message = (
            f"Run lost: its worker {run.worker or '(unknown)'} has not been heard from for too long. "
            "What it had logged is above; start the run again if it is safe to repeat."
        )
        may_retry = True
        if remains.end is not None:
            status, level = Run.Status(remains.end["status"]), Level.INFO
            message = f"The end of the run was written late, by {worker}: the database had been away"
            may_retry = remains.end["may_retry"]
        if not is_smooth(status, remains.counters):
            keep_captured(run)
        close_run(
            run,
            token,
            status,
            level,
            message,
            counters=remains.counters,
            may_retry=may_retry,
            missing=remains.missing,
            checksum=remains.checksum,
        )
        if spool.is_ours:
            spool.remove()


def _ship(run: Run, token: uuid.UUID, spool: Spool, worker: str) -> _Remains:
    """Ship what the spool of the run holds, if it is on this host. Raises LeaseLost."""
    try:
        spool.take_up()
        Shipper(run, token, spool, dict).finish()
        remains = _Remains(checksum=spool.checksum())
    except FileNotFoundError:
        return _Remains(missing=_why_missing(run, worker))
    except OSError as error:
        # It stays, so that what it holds can be added once the disk lets it be read.
        spool.close()
        return _Remains(missing=f"the spool on {_host(worker)} cannot be read: {error.strerror}")
    except (ValueError, DataError, IntegrityError):
        logger.exception("The spool of run %d cannot be shipped, and is set aside", run.pk)
        spool.set_aside()
        remains = _Remains(missing=f"the spool on {_host(worker)} is damaged, and kept there")
    if (losses := spool.losses()) is not None:
        count, reason = losses
        run.count(token, lost_line_count=count, lost_reason=reason)
    remains.end = spool.end()
    if remains.end is not None:
        remains.counters = remains.end["counters"]
    if spool.omitted_count:
        remains.counters |= {"omitted_line_count": spool.omitted_count}
    return remains


def _why_missing(run: Run, worker: str) -> str:
    """Why there may be more lines than the table has, where there is no spool; empty where there are none."""
    if run.service.kind == Service.Kind.REPORTED:
        return ""
    if _host(run.worker) != _host(worker):
        return f"its last lines may be on {_host(run.worker)}; they are added once a worker starts there"
    # With neither a spool nor a line the worker died before it logged anything.
    return "the spool of its worker is gone" if newest_sequence(run) else ""


def _host(worker: str) -> str:
    return worker.partition(":")[0]
