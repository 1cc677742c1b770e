"""The steps of a run: pull, script and push, page by page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

from django.conf import settings

from apps.runs.execution import worker_shutdown
from apps.runs.execution.incremental import IncrementalPull, NextSince
from apps.runs.execution.interruption import (
    RunAbandoned,
    RunCancelled,
    RunStopped,
    TooManyRefused,
    WorkerShutdown,
)
from apps.runs.execution.replay import Replay
from apps.runs.execution.source_files import SourceFiles
from apps.runs.log.run_log import RunLog
from apps.runs.models import Payload, Run, Step
from apps.runs.payloads.capture import Capture
from apps.runs.payloads.size_limit import SizeLimitedStream
from apps.runs.payloads.storage import PayloadNotStored, store_payload
from apps.runs.records.keys import key_expressions
from apps.runs.records.selection import MAX_LISTED, Selection, listed, records_text
from apps.runs.records.tracking import RecordTracker
from apps.runs.records.unchanged import UnchangedRecords
from apps.services.connectors.base import Body, ConnectorError, Delivery, Page, Record, RunContext, Source
from apps.services.connectors.endpoints import open_destination, open_source
from apps.services.connectors.formats.documents import encode_json
from apps.services.sandbox.process import Sandbox

logger = logging.getLogger(__name__)


class Pipeline:
    """Pipeline of one run; holds one page at a time."""

    def __init__(self, run: Run, log: RunLog) -> None:
        self._run = run
        self._log = log
        self._deadline = time.monotonic() + run.service.timeout_seconds
        self._capture = Capture.of(run)
        self._context = RunContext(
            run_id=run.pk,
            max_attempts=run.options.get("max_attempts", run.service.max_attempts),
            page_size=run.options.get("page_size"),
            check=self.check,
            add_secret=log.add_secret,
        )
        self._is_abandoned = False
        self._tracker: RecordTracker | None = None
        self._unchanged: UnchangedRecords | None = None
        self._incremental: IncrementalPull | None = None

    def execute(self) -> None:
        """Raises ConnectorError, ScriptError, SecretUnavailable, and the errors of `check`."""
        try:
            self._execute()
        except ConnectorError as error:
            if not error.may_have_arrived:
                self._context.in_flight = ()
            # Stored for the next line, which is the one with the error.
            kind = Payload.Kind.PUSH if self._log.step == Step.PUSH else Payload.Kind.PULL
            for problem in self._store_bodies(
                kind, "failed", _bodies(request=error.request, response=error.response)
            ):
                logger.warning("%s", problem)
            raise

    def _execute(self) -> None:
        run = self._run
        with ExitStack() as stack:
            keys = key_expressions(run.service)
            tracker = self._tracker = RecordTracker(run, self._log, *keys)
            selection = Selection(run, tracker, self._log)
            selection.log_start()
            self._context.files = SourceFiles.of(run, self._log, selection.keys)
            incremental = self._incremental = IncrementalPull(run, is_resync=selection.is_resync)
            incremental.log_start()
            self._context.since = incremental.value
            source = stack.enter_context(_source_of(run, self._context, selection))
            script = run.script and stack.enter_context(Sandbox(run.script.source, name=run.service.slug))
            destination = (
                None if run.is_dry_run else stack.enter_context(open_destination(run.service, self._context))
            )
            if destination is not None and destination.skips_unchanged:
                self._unchanged = UnchangedRecords(run, tracker, self._log)
            self.check()
            self._log.step = Step.PULL
            for page in source.pages():
                self.check()
                incremental.observe(page.records)
                records = self._pulled(selection, page)
                if script and records:
                    records = self._scripted(selection, script, page.number, records)
                records = selection.skip_accepted(records)
                if destination is None:
                    tracker.end_dry_run_page()
                elif records:
                    self._log.step = Step.PUSH
                    if self._unchanged is not None:
                        records = self._unchanged.skip(page.number, records)
                    self._push(tracker, destination.push(page.number, records))
                self._log.step = Step.PULL
                self.check()
            if destination is not None:
                self._log.step = Step.PUSH
                for delivery in destination.finish():
                    self._pushed(tracker, delivery)
            selection.log_missing()

    def _push(self, tracker: RecordTracker, deliveries: Iterator[Delivery]) -> None:
        for delivery in deliveries:
            self._pushed(tracker, delivery)
            self.check()

    def next_since(self) -> NextSince | None:
        """What the next run starts with, after this one succeeded."""
        return self._incremental.next() if self._incremental is not None else None

    def finish(self, error: str) -> None:
        """Decides on the records that the run left, by `error` unless it is empty."""
        if self._tracker is not None:
            self._tracker.finish(error, self._context.in_flight)

    def abandon(self) -> None:
        """Marks the pipeline as abandoned while `execute` hangs in another thread: when it wakes up, it stops."""
        self._is_abandoned = True
        self._log.detach_other_threads()
        self._context.abandon()

    def check(self) -> None:
        """Raises if the run must stop.

        RunCancelled, RunStopped, LeaseLost or WorkerShutdown; RunAbandoned if it was stopped already.
        """
        self._stop_if_abandoned()
        self._log.check_lease()
        if self._log.cancel_requested:
            raise RunCancelled("Cancelled by request")
        if time.monotonic() > self._deadline:
            raise RunStopped(
                f"Timed out: the limit of the service is {self._run.service.timeout_seconds} s. Raise it "
                "in the settings of the service, or pull less in one run."
            )
        if worker_shutdown.is_grace_period_over():
            raise WorkerShutdown(
                f"Run lost: its worker {self._run.worker} was stopped, and the run did not end within the "
                f"grace period of {settings.GRACE_SECONDS} s (SYNCLOG_GRACE_SECONDS)"
            )

    def _stop_if_abandoned(self) -> None:
        if self._is_abandoned:
            raise RunAbandoned

    def _pulled(self, selection: Selection, page: Page) -> list[Record]:
        self._log.pulled_count += len(page.records)
        problems = self._store_bodies(Payload.Kind.PULL, f"page-{page.number:05d}", _bodies(body=page.body))
        records = selection.choose(page.number, page.records)
        count = len(page.records)
        _log(
            f"Pulled page {page.number}: {records_text(count)}{_selected(count, records)} from {page.origin}",
            problems=problems,
        )
        return records

    def _scripted(
        self, selection: Selection, script: Sandbox, page: int, records: list[Record]
    ) -> list[Record]:
        self._log.step = Step.SCRIPT
        name = f"page-{page:05d}"
        # Stored before the call, because it is needed if the call fails.
        problems = self._store_bodies(Payload.Kind.SCRIPT, name, self._as_json("input", records))
        _log(f"Script called with {records_text(len(records))} of page {page}", problems=problems)
        before = time.monotonic()
        returned: list[Record] = script.transform(records, self.check)
        milliseconds = (time.monotonic() - before) * 1000
        problems = self._store_bodies(Payload.Kind.SCRIPT, name, self._as_json("output", returned))
        count, returned = len(returned), selection.choose_output(returned)
        _log(
            f"Script returned {records_text(count)}{_selected(count, returned)} in {milliseconds:.0f} ms",
            problems=problems,
        )
        return returned

    def _pushed(self, tracker: RecordTracker, delivery: Delivery) -> None:
        self._stop_if_abandoned()
        self._log.pushed_count += delivery.accepted
        self._log.refused_count += delivery.refused
        bodies = _bodies(request=delivery.request, response=delivery.response)
        level = logging.ERROR if delivery.refused else logging.INFO
        outcome = _outcome(delivery, tracker.pushed_key)
        name = f"page-{delivery.page:05d}-batch-{delivery.batch:05d}"
        # Before its payloads are stored, which may hang.
        tracker.deliver(delivery)
        self._context.in_flight = ()
        if self._unchanged is not None and (accepted := delivery.accepted_records):
            self._unchanged.accept(accepted)
        problems = self._store_bodies(Payload.Kind.PUSH, name, bodies)
        _log(f"{delivery.outcome}, {outcome}", level=level, problems=problems)
        if self._log.refused_count > settings.MAX_REFUSED_RECORDS:
            raise TooManyRefused(
                f"The destination refused {records_text(self._log.refused_count)}, more than the "
                f"{settings.MAX_REFUSED_RECORDS:,} that a run may have (SYNCLOG_MAX_REFUSED_RECORDS)."
            )

    def _as_json(self, role: str, records: list[Record]) -> list[tuple[str, Body]]:
        if not self._stores(Payload.Kind.SCRIPT):
            return []
        data = b"[\n" + b",\n".join(map(encode_json, records)) + b"\n]\n"
        return [(role, Body.of_bytes(data, "application/json", ".json"))]

    def _store_bodies(self, kind: Payload.Kind, name: str, bodies: Sequence[tuple[str, Body]]) -> list[str]:
        """Stores the bodies for the line that is logged next, if this run stores such payloads; returns what
        failed.
        """
        problems = []
        for role, body in bodies if self._stores(kind) else ():
            self._stop_if_abandoned()
            suffix = "" if role == "body" else f"-{role}"
            full_name = f"{kind}-{name}{suffix}{body.extension}"
            read_limited = None
            try:
                with body.open() as stream:
                    read_limited = SizeLimitedStream(stream, settings.MAX_PAYLOAD_BYTES)
                    self._store(
                        kind,
                        name=full_name,
                        content_type=body.content_type,
                        stream=cast("BinaryIO", read_limited),
                        sequence=self._log.next_sequence,
                    )
            except PayloadNotStored as error:
                reason = (
                    read_limited.reason
                    if read_limited is not None and read_limited.is_exceeded
                    else str(error)
                )
                problems.append(f"{full_name} could not be stored: {reason}")
        self._stop_if_abandoned()
        return problems

    def _stores(self, kind: Payload.Kind) -> bool:
        """Whether this run stores or captures such payloads."""
        return kind in self._run.stores or self._capture is not None

    def _store(self, kind: Payload.Kind, **what: Any) -> None:
        if kind in self._run.stores:
            store_payload(self._run, kind=kind, **what)
        elif self._capture is not None:
            self._capture.add(kind=kind, **what)


def _source_of(run: Run, context: RunContext, selection: Selection) -> Source:
    """The source of the service, or the stored pages of the run that is replayed."""
    if run.replay_of:
        return Replay(run.service, run.replay_of, context)
    return open_source(run.service, context, selection.keys)


def _bodies(**roles: Body | None) -> list[tuple[str, Body]]:
    return [(role, body) for role, body in roles.items() if body is not None]


def _log(message: str, *, level: int = logging.INFO, problems: Sequence[str]) -> None:
    """Logs a line; if a payload could not be stored, at least as a warning."""
    if problems:
        level = max(level, logging.WARNING)
    logger.log(level, "%s", ". ".join((message, *problems)))


def _selected(count: int, chosen: Sequence[Record]) -> str:
    return "" if len(chosen) == count else f", {len(chosen):,} of them selected,"


def _outcome(delivery: Delivery, key_of: Callable[[Record], str]) -> str:
    """`2 records accepted, 3 records refused: unknown sku (10045, 10046); no price (10047)`."""
    if not delivery.refused:
        return f"{records_text(delivery.accepted)} accepted"
    accepted = f"{records_text(delivery.accepted)} accepted, " if delivery.accepted else ""
    reasons = [
        f"{reason} ({listed(keys)})" if (keys := [*filter(None, map(key_of, records))]) else reason
        for reason, records in delivery.refused_by_reason().items()
    ]
    if len(reasons) > MAX_LISTED:
        reasons[MAX_LISTED:] = [f"and {len(reasons) - MAX_LISTED:,} more reasons"]
    return f"{accepted}{records_text(delivery.refused)} refused: {'; '.join(reasons)}"
