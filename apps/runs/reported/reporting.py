"""Reports of runs that happen elsewhere: start, lines and result, and who may report."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.audit.models import Action
from apps.audit.recording import record_event
from apps.runs.execution.run_end import announce_run_end
from apps.runs.log.bulk_insert import write_lines
from apps.runs.log.line_format import escape
from apps.runs.log.text import clean_message
from apps.runs.models import Level, Run, Step
from apps.runs.payloads.expiry import set_expiry
from apps.services.models import Service

# Time without a report after which a run is lost; every report renews it.
REPORT_LEASE = timedelta(minutes=5)
# Prefix of `Run.worker` while the run belongs to its reporter; closing a lost run writes another name.
_REPORTER = "reporter "


class NotReported(Exception):
    """Synclog executes the run itself, so it cannot be reported."""


class WrongReporter(Exception):
    """Another user opened the run."""


class ReportEnded(Exception):
    """The run has ended or was silent for too long; `status` is its current status."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class LogGap(Exception):
    """Lines are missing before the reported ones; `expected` is the number of the next line."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


class ReportedLine(NamedTuple):
    """One line with the number that the reporter gave it."""

    sequence: int
    logged_at: datetime
    level: Level
    step: Step
    message: str


def open_reported_run(
    service: Service,
    *,
    user: Any,
    reporter: str,
    is_dry_run: bool = False,
    idempotency_key: str | None = None,
) -> Run:
    """Creates a running run of a reported service, or returns the run that this user opened with the same key."""
    run = Run(
        service=service,
        trigger=Run.Trigger.API,
        started_by=user,
        is_dry_run=is_dry_run,
        idempotency_key=idempotency_key,
        status=Run.Status.RUNNING,
        started_at=Now(),
        lease_token=uuid.uuid4(),
        lease_until=Now() + REPORT_LEASE,
        worker=(_REPORTER + reporter)[:200],
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            record_event(Action.STARTED, user=user, subject=run, name=Run.audit_name(run.pk, service))
    except IntegrityError:
        if idempotency_key is None:
            raise
        return Run.objects.get(service=service, started_by=user, idempotency_key=idempotency_key)
    run.refresh_from_db()
    return run


def append_lines(run: Run, user: Any, lines: Sequence[ReportedLine]) -> Run:
    """Appends the lines that the log does not have yet, and renews the lease; returns the run.

    Existing lines are skipped, so that a batch can be repeated. Raises LogGap if a line before them is missing, and
    ReportEnded; then nothing is written.
    """
    check_reporter(run, user)
    with transaction.atomic():
        current = locked_run(run)
        fresh = [line for line in lines if line.sequence > current.line_count]
        check_not_lost(current)
        if fresh:
            check_open(current)
            _write(current, fresh)
        elif current.is_open:
            renew(current)
    return current


def finish_reported_run(
    run: Run, user: Any, *, status: str, pulled_count: int, pushed_count: int, error: str
) -> Run:
    """Ends the run, seals its log and sets the expiry of its payloads; repeating it changes nothing.

    Raises ReportEnded if the run ended with another status.
    """
    check_reporter(run, user)
    error = clean_message(error).partition("\n")[0][:500]
    with transaction.atomic():
        current = locked_run(run)
        outcome = (current.status, current.pulled_count, current.pushed_count)
        if outcome == (status, pulled_count, pushed_count) and error in ("", current.error):
            return current
        check_open(current)
        Run.objects.filter(pk=current.pk).update(
            status=status,
            finished_at=Now(),
            lease_token=None,
            lease_until=None,
            pulled_count=pulled_count,
            pushed_count=pushed_count,
            error=error or current.error,
            is_complete=True,
            log_checksum=current.log_checksum or 0,
        )
        set_expiry(current, settings.PAYLOAD_RETENTION)
        announce_run_end(current.pk)
    current.refresh_from_db()
    return current


def check_reporter(run: Run, user: Any) -> None:
    if not run.service.is_reported:
        raise NotReported
    if run.started_by_id != user.pk:
        raise WrongReporter


def locked_run(run: Run) -> Run:
    """The run, locked until the transaction ends."""
    return Run.objects.select_for_update().get(pk=run.pk)


def is_reporters(run: Run) -> bool:
    return run.worker.startswith(_REPORTER)


def check_not_lost(run: Run) -> None:
    """A lost run is reported again as a whole."""
    if run.status == Run.Status.LOST or (run.is_open and not is_reporters(run)):
        raise ReportEnded(Run.Status.LOST)


def check_open(run: Run) -> None:
    if run.status != Run.Status.RUNNING:
        raise ReportEnded(run.status)
    if not is_reporters(run):
        # The run is about to be closed as lost.
        raise ReportEnded(Run.Status.LOST)


def renew(run: Run, **columns: Any) -> None:
    Run.objects.filter(pk=run.pk).update(lease_until=Now() + REPORT_LEASE, **columns)


def renew_if_open(run: Run) -> None:
    """Renews the lease of a run that may have ended meanwhile."""
    still_reported = Run.objects.running().filter(pk=run.pk, worker__startswith=_REPORTER)
    still_reported.update(lease_until=Now() + REPORT_LEASE)


def _write(run: Run, lines: Sequence[ReportedLine]) -> None:
    """Inserts the lines, which must follow the existing ones, and counts them on the run."""
    rows = []
    expected = run.line_count + 1
    warnings = errors = 0
    for sequence, logged_at, level, step, message in lines:
        if sequence < expected:
            continue
        if sequence > expected:
            raise LogGap(expected)
        text = clean_message(message)
        if level is Level.WARNING:
            warnings += 1
        elif level is Level.ERROR:
            errors += 1
            if not run.error:
                run.error, run.error_sequence = text.partition("\n")[0][:500], sequence
        moment = logged_at.astimezone(UTC).isoformat(" ", "microseconds")[:-3]
        rows.append(f"{run.pk}\t{sequence}\t{moment}\t{level:d}\t{step:d}\t{escape(text)}\n")
        expected += 1
    chunk = "".join(rows).encode()
    write_lines(chunk)
    run.line_count = expected - 1
    renew(
        run,
        line_count=run.line_count,
        warning_count=run.warning_count + warnings,
        error_count=run.error_count + errors,
        error=run.error,
        error_sequence=run.error_sequence,
        log_checksum=zlib.crc32(chunk, run.log_checksum or 0),
    )
