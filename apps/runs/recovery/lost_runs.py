"""Lost runs: closes runs whose worker died, and ships the lines that their spools on this host contain."""

from __future__ import annotations

import errno
import logging
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError, transaction

from apps.runs.execution.finalization import end_run_without_spool
from apps.runs.log.shipper import LeaseLost, Shipper
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.log.stored_lines import last_stored_sequence
from apps.runs.models import Level, Run
from apps.runs.payloads.capture import Capture, is_clean, resolve_orphaned_captures, store_captured
from apps.runs.records.leftovers import ship_leftover_records
from apps.runs.recovery.late_lines import add_late_lines

logger = logging.getLogger(__name__)


def close_lost_runs(*, worker: str) -> int:
    """Ships the spools of dead workers on this host and ends their runs; returns their number.

    A run becomes lost, unless its worker had recorded another outcome.
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
    ship_leftover_spools()
    resolve_orphaned_captures()
    return closed


def ship_leftover_spools() -> None:
    """Ships the rest of spools whose run has ended, and removes them.

    Such a spool is left if a run was closed on another host, if its worker was only suspended, or if a worker died
    right after writing the end.
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
                # A locked spool belongs to a living writer.
                if spool.adopt():
                    add_late_lines(run_id, spool)
                    spool.remove()
        except FileNotFoundError:
            # The run has ended in the meantime.
            continue
        except (OSError, ValueError, DataError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                # The latest lines of a long log are appended to its head once the disk has room.
                continue
            logger.exception("The spool of run %d cannot be shipped and was renamed", run_id)
            Spool(run_id).quarantine()


@dataclass
class _SpoolContent:
    """What the spool of a dead worker contained."""

    end: dict[str, Any] | None = None
    checksum: int | None = None
    missing: str = ""
    # Columns of Run that only the worker knew.
    counters: dict[str, Any] = field(default_factory=dict)


def _close(run: Run, token: uuid.UUID, worker: str) -> None:
    with closing(Spool(run.pk)) as spool:
        content = _ship(run, token, spool, worker)
        status, level = Run.Status.LOST, Level.ERROR
        message = (
            f"Run lost: its worker {run.worker or '(unknown)'} sent no heartbeat for too long. "
            "Start the run again if it is safe to repeat."
        )
        may_retry = True
        if content.end is not None:
            status, level = Run.Status(content.end["status"]), Level.INFO
            message = f"The end of the run was written late by {worker}, because the database was unreachable"
            may_retry = content.end["may_retry"]
        if not is_clean(status, content.counters):
            store_captured(run)
        end_run_without_spool(
            run,
            token,
            status,
            level,
            message,
            counters=content.counters,
            may_retry=may_retry,
            missing=content.missing,
            checksum=content.checksum,
        )
        if spool.is_ours:
            spool.remove()


def _ship(run: Run, token: uuid.UUID, spool: Spool, worker: str) -> _SpoolContent:
    """Ships the spool of the run if it is on this host. Raises LeaseLost."""
    try:
        spool.adopt()
        Shipper(run, token, spool, dict, with_records=False).finish()
        content = _SpoolContent(checksum=spool.checksum())
    except FileNotFoundError:
        return _SpoolContent(missing=_why_missing(run, worker))
    except OSError as error:
        # The spool stays, so that its lines can be added once the disk is readable.
        spool.close()
        return _SpoolContent(missing=f"the spool on {_host(worker)} cannot be read: {error.strerror}")
    except (ValueError, DataError, IntegrityError):
        logger.exception("The spool of run %d cannot be shipped and was renamed", run.pk)
        spool.quarantine()
        content = _SpoolContent(missing=f"the spool on {_host(worker)} is damaged and was renamed")
    missing_records = _ship_records(run, token, spool)
    content.missing = content.missing or missing_records
    if (losses := spool.losses()) is not None:
        count, reason = losses
        run.count(token, lost_line_count=count, lost_reason=reason)
    content.end = spool.end()
    if content.end is not None:
        content.counters = content.end["counters"]
    if spool.omitted_count:
        content.counters |= {"omitted_line_count": spool.omitted_count}
    return content


def _ship_records(run: Run, token: uuid.UUID, spool: Spool) -> str:
    """Ships what the record file contains beyond the log; returns what is missing. Raises LeaseLost."""
    with transaction.atomic():
        columns, missing = ship_leftover_records(run, spool, sequence=last_stored_sequence(run) + 1)
        if columns and not run.count(token, **columns):
            raise LeaseLost
    return missing


def _why_missing(run: Run, worker: str) -> str:
    """Why lines may be missing if there is no spool; empty if none are missing."""
    if run.service.is_reported:
        return ""
    if _host(run.worker) != _host(worker):
        what = "last lines and captured payloads" if Capture.of(run) else "last lines"
        return f"its {what} may be on {_host(run.worker)}; they are added when a worker there starts or executes a run"
    # Without a spool and without a line the worker died before it logged anything.
    return "the spool of its worker is missing" if last_stored_sequence(run) else ""


def _host(worker: str) -> str:
    return worker.partition(":")[0]
