"""What a run does: page by page from the source, through the script, to the destination."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

from django.conf import settings

from apps.runs.execution import worker_shutdown
from apps.runs.execution.interruption import (
    LeftBehind,
    RunCancelled,
    RunStopped,
    TooManyRefused,
    WorkerLeaves,
)
from apps.runs.execution.replay import Replay
from apps.runs.log.run_log import RunLog
from apps.runs.models import Payload, Run, Step
from apps.runs.payloads.capture import Capture
from apps.runs.payloads.size_limit import Bounded
from apps.runs.payloads.storage import PayloadNotKept, keep_payload
from apps.services.connectors import open_destination, open_source
from apps.services.connectors.base import Body, ConnectorError, Delivery, Page, Record, RunFacts, Source
from apps.services.sandbox import Sandbox

logger = logging.getLogger(__name__)


class Pipeline:
    """One run on its way; holds one page at a time, however many there are."""

    def __init__(self, run: Run, log: RunLog) -> None:
        self._run = run
        self._log = log
        self._deadline = time.monotonic() + run.service.timeout_seconds
        self._refused_count = 0
        self._capture = Capture.of(run)
        self._facts = RunFacts(
            run_id=run.pk,
            max_attempts=run.options.get("max_attempts", run.service.max_attempts),
            page_size=run.options.get("page_size"),
            check=self.check,
        )
        self._is_left_behind = False

    def execute(self) -> None:
        """Raises ConnectorError, ScriptError, SecretUnavailable, and what `check` raises."""
        try:
            self._execute()
        except ConnectorError as error:
            # Kept for the line that tells the error, which is the next.
            kind = Payload.Kind.PUSH if self._log.step == Step.PUSH else Payload.Kind.PULL
            for problem in self._keep(
                kind, "failed", _bodies(request=error.request, response=error.response)
            ):
                logger.warning("%s", problem)
            raise

    def _execute(self) -> None:
        run = self._run
        with ExitStack() as stack:
            source = stack.enter_context(_source_of(run, self._facts))
            script = run.script and stack.enter_context(Sandbox(run.script.source, name=run.service.slug))
            destination = (
                None if run.is_dry_run else stack.enter_context(open_destination(run.service, self._facts))
            )
            self.check()
            self._log.step = Step.PULL
            for page in source.pages():
                self.check()
                records = self._pulled(page)
                if script and records:
                    records = self._scripted(script, page.number, records)
                if destination is not None and records:
                    self._log.step = Step.PUSH
                    for delivery in destination.push(page.number, records):
                        self._pushed(delivery)
                        self.check()
                self._log.step = Step.PULL
                self.check()
            if destination is not None:
                self._log.step = Step.PUSH
                for delivery in destination.finish():
                    self._pushed(delivery)

    def leave_behind(self) -> None:
        """The run goes on to its end while `execute` hangs in another thread: should it wake up, it stops there."""
        self._is_left_behind = True
        self._log.hush_others()
        for break_off in self._facts.when_left:
            break_off()

    def check(self) -> None:
        """Raises where the run is to stop: cancelled, out of time, no longer ours, or its worker leaves.

        RunCancelled, RunStopped, LeaseLost, WorkerLeaves; LeftBehind where it has been stopped already.
        """
        self._stop_if_left_behind()
        self._log.check_lease()
        if self._log.cancel_requested:
            raise RunCancelled("Cancelled by request")
        if time.monotonic() > self._deadline:
            raise RunStopped(
                f"Timed out: the service's limit is {self._run.service.timeout_seconds} s. "
                "Raise it in the service's settings, or pull less at once."
            )
        if worker_shutdown.is_grace_over():
            raise WorkerLeaves(
                f"Run lost: its worker {self._run.worker} was stopped, and the run did not end within the "
                f"{settings.GRACE_SECONDS} s that it was given (SYNCLOG_GRACE_SECONDS)"
            )

    def _stop_if_left_behind(self) -> None:
        if self._is_left_behind:
            raise LeftBehind

    def _pulled(self, page: Page) -> list[Record]:
        records = page.records
        self._log.pulled_count += len(records)
        problems = self._keep(Payload.Kind.PULL, f"page-{page.number:05d}", _bodies(body=page.body))
        _say(f"Pulled page {page.number}: {_records(len(records))} from {page.origin}", problems=problems)
        wanted = self._run.options.get("record_id")
        if wanted is None:
            return records
        id_field = self._run.service.source_options.get("id_field", "id")
        found = [
            record for record in records if isinstance(record, dict) and str(record.get(id_field)) == wanted
        ]
        logger.info(
            "Of page %d only %s = %s goes on: %s", page.number, id_field, wanted, _records(len(found))
        )
        return found

    def _scripted(self, script: Sandbox, page: int, records: list[Record]) -> list[Record]:
        self._log.step = Step.SCRIPT
        name = f"page-{page:05d}"
        # Kept before the call: it is needed most when the call fails.
        problems = self._keep(Payload.Kind.SCRIPT, name, self._as_json("input", records))
        _say(f"Script called with {_records(len(records))} of page {page}", problems=problems)
        before = time.monotonic()
        returned: list[Record] = script.transform(records, self.check)
        milliseconds = (time.monotonic() - before) * 1000
        problems = self._keep(Payload.Kind.SCRIPT, name, self._as_json("output", returned))
        _say(f"Script returned {_records(len(returned))} in {milliseconds:.0f} ms", problems=problems)
        return returned

    def _pushed(self, delivery: Delivery) -> None:
        self._stop_if_left_behind()
        self._log.pushed_count += delivery.accepted
        bodies = _bodies(request=delivery.request, response=delivery.response)
        level = logging.ERROR if delivery.refused else logging.INFO
        outcome = f"{_records(delivery.accepted)} accepted"
        if delivery.refused:
            outcome = f"{_records(delivery.refused)} refused: {delivery.refusal}"
        name = f"page-{delivery.page:05d}-batch-{delivery.batch:05d}"
        problems = self._keep(Payload.Kind.PUSH, name, bodies)
        _say(f"{delivery.outcome}, {outcome}", level=level, problems=problems)
        self._refused_count += delivery.refused
        if self._refused_count > settings.MAX_REFUSED_RECORDS:
            raise TooManyRefused(
                f"The destination refused {_records(self._refused_count)}, more than the "
                f"{settings.MAX_REFUSED_RECORDS:,} that a run may have (SYNCLOG_MAX_REFUSED_RECORDS)."
            )

    def _as_json(self, role: str, records: list[Record]) -> list[tuple[str, Body]]:
        if not self._keeps(Payload.Kind.SCRIPT):
            return []
        data = json.dumps(records, ensure_ascii=False, indent=1).encode()
        return [(role, Body.of_bytes(data, "application/json", ".json"))]

    def _keep(self, kind: Payload.Kind, name: str, bodies: Sequence[tuple[str, Body]]) -> list[str]:
        """Keep the bodies, if this run does so, for the line that is logged next; what could not be kept."""
        problems = []
        for role, body in bodies if self._keeps(kind) else ():
            self._stop_if_left_behind()
            suffix = "" if role == "body" else f"-{role}"
            full_name = f"{kind}-{name}{suffix}{body.extension}"
            bounded = None
            try:
                with body.open() as stream:
                    bounded = Bounded(stream, settings.MAX_PAYLOAD_BYTES)
                    self._store(
                        kind,
                        name=full_name,
                        content_type=body.content_type,
                        stream=cast("BinaryIO", bounded),
                        sequence=self._log.next_sequence,
                    )
            except PayloadNotKept as error:
                reason = bounded.excuse if bounded is not None and bounded.is_exceeded else str(error)
                problems.append(f"{full_name} could not be kept: {reason}")
        self._stop_if_left_behind()
        return problems

    def _keeps(self, kind: Payload.Kind) -> bool:
        """Whether this run keeps such payloads, or holds them back until it is known how it ends."""
        return kind in self._run.stores or self._capture is not None

    def _store(self, kind: Payload.Kind, **what: Any) -> None:
        if kind in self._run.stores:
            keep_payload(self._run, kind=kind, **what)
        elif self._capture is not None:
            self._capture.add(kind=kind, **what)


def _source_of(run: Run, facts: RunFacts) -> Source:
    """The service's source, or the stored pages of the run that this one replays."""
    return Replay(run.service, run.replay_of, facts) if run.replay_of else open_source(run.service, facts)


def _bodies(**roles: Body | None) -> list[tuple[str, Body]]:
    return [(role, body) for role, body in roles.items() if body is not None]


def _say(message: str, *, level: int = logging.INFO, problems: Sequence[str]) -> None:
    """Log a line; with what could not be kept it is a warning at least."""
    if problems:
        level = max(level, logging.WARNING)
    logger.log(level, "%s", ". ".join((message, *problems)))


def _records(count: int) -> str:
    return f"{count:,} record" if count == 1 else f"{count:,} records"
