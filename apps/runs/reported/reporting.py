"""Records runs that happen elsewhere, as their reporters tell of them: lines, files, and the end."""

from __future__ import annotations

import hashlib
import time
import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, NamedTuple, cast

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.runs.log.bulk_insert import write_lines
from apps.runs.log.spool import escape
from apps.runs.log.text import clean
from apps.runs.models import Level, Payload, Run, Step
from apps.runs.payloads.expiry import set_expiry
from apps.runs.payloads.size_limit import Bounded, TooLarge
from apps.runs.payloads.storage import PayloadNotKept, keep_payload
from apps.services.models import Service

# How long a reporter may be silent before its run is lost; every report renews it.
REPORT_LEASE = timedelta(minutes=5)
# Begins `Run.worker` while the run is its reporter's; whoever closes lost runs writes another name there.
_REPORTER = "reporter "
# Seconds between two renewals during a long upload, and bytes that are hashed at once.
_RENEW_EVERY = 60
_BLOCK_BYTES = 256 * 1024


class NotReported(Exception):
    """The run is executed here, so nobody reports it."""


class NotTheReporter(Exception):
    """The run was opened by another user."""


class ReportEnded(Exception):
    """The run has ended, or was silent for too long; `status` is what it is now."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class LogGap(Exception):
    """Lines are missing before those that were reported; `expected` is the number of the next one."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


class PayloadExists(Exception):
    """Another file is kept under this kind and name; `payload` is its row."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload.pk)
        self.payload = payload


class PayloadTooLarge(Exception):
    """The file is larger than what is kept of one."""


class ReportedLine(NamedTuple):
    """One line as the reporter numbered it."""

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
    """A new running run of a reported service. With a key that this user gave before for it: that run."""
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
    except IntegrityError:
        if idempotency_key is None:
            raise
        return Run.objects.get(service=service, started_by=user, idempotency_key=idempotency_key)
    run.refresh_from_db()
    return run


def append_lines(run: Run, user: Any, lines: Sequence[ReportedLine]) -> Run:
    """Write those lines that the log has not yet, and renew the lease; the run as it then is.

    Lines that are there already are passed over, so a batch can be repeated, whole or in part. Raises LogGap
    where a line before them is missing, and ReportEnded; then nothing is written.
    """
    _check_reporter(run, user)
    with transaction.atomic():
        current = _locked(run)
        fresh = [line for line in lines if line.sequence > current.line_count]
        if current.status == Run.Status.LOST or (current.is_open and not _is_reporters(current)):
            raise ReportEnded(Run.Status.LOST)
        if fresh:
            _check_open(current)
            _write(current, fresh)
        elif current.is_open:
            _renew(current)
    return current


def keep_reported_payload(
    run: Run, user: Any, *, kind: str, name: str, content_type: str, stream: BinaryIO, sequence: int | None
) -> tuple[Payload, bool]:
    """Keep a file under its kind and name; its row, and whether it is new. The same bytes again change nothing.

    Raises PayloadExists where other bytes are kept there, PayloadTooLarge, ReportEnded, and PayloadNotKept.
    """
    _check_reporter(run, user)
    with transaction.atomic():
        current = _locked(run)
        _check_open(current)
        # The log looks for payloads only in runs that keep some.
        _renew(current, **{f"store_{kind}": True})
    namesakes = run.payloads.filter(kind=kind, name=name, status=Payload.Status.STORED)
    bounded = Bounded(cast("BinaryIO", _RenewingStream(stream, run)), settings.MAX_PAYLOAD_BYTES)
    source = cast("BinaryIO", bounded)
    try:
        if (kept := namesakes.first()) is not None:
            return _same(kept, _digest(source)), False
        payload = keep_payload(
            run, kind=kind, name=name, content_type=content_type, stream=source, sequence=sequence
        )
    except (TooLarge, PayloadNotKept):
        if bounded.is_exceeded:
            raise PayloadTooLarge from None
        raise
    with transaction.atomic():
        current = _locked(run)
        first = namesakes.order_by("created_at", "pk")[0]
        if not current.is_open:
            set_expiry(current, settings.PAYLOAD_RETENTION)
        elif _is_reporters(current):
            _renew(current)
        if first.pk != payload.pk:
            # Two uploads of one name side by side: the later one goes, with the next clean-up.
            Payload.objects.filter(pk=payload.pk).update(expires_at=Now())
    return (payload, True) if first.pk == payload.pk else (_same(first, payload.sha256), False)


def finish_reported_run(
    run: Run, user: Any, *, status: str, pulled_count: int, pushed_count: int, error: str
) -> Run:
    """End the run, seal its log and let its payloads expire; told again, it says the same.

    Raises ReportEnded where it ended otherwise.
    """
    _check_reporter(run, user)
    error = clean(error).partition("\n")[0][:500]
    with transaction.atomic():
        current = _locked(run)
        outcome = (current.status, current.pulled_count, current.pushed_count)
        if outcome == (status, pulled_count, pushed_count) and error in ("", current.error):
            return current
        _check_open(current)
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
    current.refresh_from_db()
    return current


def _check_reporter(run: Run, user: Any) -> None:
    if run.service.kind != Service.Kind.REPORTED:
        raise NotReported
    if run.started_by_id != user.pk:
        raise NotTheReporter


def _locked(run: Run) -> Run:
    """The run as it is now; who else reports it waits until the transaction ends."""
    return Run.objects.select_for_update().get(pk=run.pk)


def _is_reporters(run: Run) -> bool:
    return run.worker.startswith(_REPORTER)


def _check_open(run: Run) -> None:
    if run.status != Run.Status.RUNNING:
        raise ReportEnded(run.status)
    if not _is_reporters(run):
        # Whoever closes lost runs is about to end it.
        raise ReportEnded(Run.Status.LOST)


def _renew(run: Run, **columns: Any) -> None:
    Run.objects.filter(pk=run.pk).update(lease_until=Now() + REPORT_LEASE, **columns)


def _write(run: Run, lines: Sequence[ReportedLine]) -> None:
    """Insert the lines, which must follow those that are there, and count them on the run."""
    rows = []
    expected = run.line_count + 1
    warnings = errors = 0
    for sequence, logged_at, level, step, message in lines:
        if sequence < expected:
            continue
        if sequence > expected:
            raise LogGap(expected)
        text = clean(message)
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
    _renew(
        run,
        line_count=run.line_count,
        warning_count=run.warning_count + warnings,
        error_count=run.error_count + errors,
        error=run.error,
        error_sequence=run.error_sequence,
        log_checksum=zlib.crc32(chunk, run.log_checksum or 0),
    )


class _RenewingStream:
    """A body that is read as it comes; reading it is a report, which renews the lease."""

    def __init__(self, stream: BinaryIO, run: Run) -> None:
        self._stream = stream
        self._run = run
        self._renewed_at = time.monotonic()

    def read(self, size: int = -1) -> bytes:
        if time.monotonic() - self._renewed_at > _RENEW_EVERY:
            self._renewed_at = time.monotonic()
            Run.objects.running().filter(pk=self._run.pk, worker__startswith=_REPORTER).update(
                lease_until=Now() + REPORT_LEASE
            )
        return self._stream.read(size)


def _digest(stream: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    while block := stream.read(_BLOCK_BYTES):
        sha256.update(block)
    return sha256.hexdigest()


def _same(kept: Payload, sha256: str) -> Payload:
    if kept.sha256 != sha256:
        raise PayloadExists(kept)
    return kept
