"""Trial of a service with settings that may be unsaved: pull, script and push of the first page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from apps.runs.execution.incremental import since_options, start_of_pull
from apps.runs.execution.interruption import RunAbandoned, RunCancelled, RunStopped
from apps.runs.execution.replay import Replay
from apps.runs.execution.supervision import supervise
from apps.runs.log.context import bind_thread, unbind
from apps.runs.models import Run, Step
from apps.runs.records.keys import key_expressions, key_reader
from apps.runs.trial.slots import trial_slot
from apps.runs.trial.trial_log import Line, TrialLog
from apps.services.connectors.address_guard import AddressRefused, check_host
from apps.services.connectors.base import ConnectorError, Outgoing, Page, Record, RunContext
from apps.services.connectors.endpoints import open_destination, open_source
from apps.services.connectors.retry import TemporaryError
from apps.services.definition.connection_url import HTTP_SCHEMES
from apps.services.definition.since import json_value
from apps.services.models import Service
from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import Sandbox

logger = logging.getLogger(__name__)

# With STOP_TIMEOUT of the supervision, a trial takes at most 30 seconds.
MAX_SECONDS = 28.0
# Requests of the push that are shown.
MAX_OUTGOING = 3


@dataclass
class Trial:
    """How far a trial came, and what it got."""

    # The first page; None if there is none.
    page: Page | None = None
    # Why a run would fail at the next page; empty if nothing is known.
    next_page_error: str = ""
    keys: list[str] = field(default_factory=list)
    # The output of the script, None if it was not called.
    output: list[Record] | None = None
    output_keys: list[str] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    has_more_outgoing: bool = False
    # Empty if every step succeeded.
    error: str = ""
    # No system has responded.
    is_without_response: bool = False
    is_cancelled: bool = False
    step: Step = Step.PULL
    seconds: float = 0
    lines: list[Line] = field(default_factory=list)
    omitted_line_count: int = 0

    @property
    def dropped_keys(self) -> list[str]:
        """Keys of the page that the output lacks."""
        return [] if self.output is None else sorted(set(self.keys) - set(self.output_keys) - {""})


def try_service(
    service: Service,
    script: str,
    until: Step,
    *,
    replay_of: Run | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Trial:
    """Pulls the first page, from the stored payloads of `replay_of` if given, and passes it on to the step `until`.

    What fails is in `error`. It ends after MAX_SECONDS, or when `is_cancelled` returns true.
    """
    log = TrialLog(service.secrets())
    steps = _Steps(service, script, until, replay_of, log, is_cancelled)
    started = time.monotonic()
    binding = bind_thread(log)
    try:
        with trial_slot(MAX_SECONDS):
            supervise(steps.execute, steps.check, steps.abandon)
    except (ConnectorError, ScriptError, RunStopped, RunCancelled, RunAbandoned) as error:
        steps.trial.error = log.cleaned(str(error))
        steps.trial.is_cancelled = isinstance(error, RunCancelled)
        steps.trial.is_without_response = _is_without_response(error)
    finally:
        unbind(binding)
    trial = steps.trial
    trial.step = log.step
    trial.seconds = time.monotonic() - started
    trial.lines, trial.omitted_line_count = list(log.lines), log.omitted_count
    return trial


class _Steps:
    """The steps, which another thread executes."""

    def __init__(
        self,
        service: Service,
        script: str,
        until: Step,
        replay_of: Run | None,
        log: TrialLog,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.trial = Trial()
        self._service = service
        self._script = script
        self._until = until
        self._replay_of = replay_of
        self._log = log
        self._is_cancelled = is_cancelled
        self._is_abandoned = False
        self._language = get_language()
        self._deadline = time.monotonic() + MAX_SECONDS
        self._context = RunContext(
            # Stands for the number of the run.
            run_id=0,
            max_attempts=1,
            check=self.check,
            add_secret=log.add_secret,
        )

    def execute(self) -> None:
        """Raises ConnectorError, ScriptError and the errors of `check`."""
        # Another thread begins with the default language.
        with override(self._language):
            self._execute()

    def _execute(self) -> None:
        trial = self.trial
        page = self._pull()
        if page is None:
            return
        source_key, destination_key = map(key_reader, key_expressions(self._service))
        trial.page, trial.keys = page, [*map(source_key, page.records)]
        trial.next_page_error = _next_page_error(page)
        records = page.records
        if self._until > Step.PULL and self._script:
            self._log.step = Step.SCRIPT
            with Sandbox(self._script, name=self._service.slug or "script") as sandbox:
                records = sandbox.transform(records, self.check)
            trial.output, trial.output_keys = records, [*map(destination_key, records)]
        if self._until == Step.PUSH and records:
            self._log.step = Step.PUSH
            with open_destination(self._service, self._context) as destination:
                outgoing = destination.preview(page.number, records)
                trial.outgoing = [*islice(outgoing, MAX_OUTGOING)]
                trial.has_more_outgoing = next(outgoing, None) is not None

    def check(self) -> None:
        """Raises if the trial must stop."""
        if self._is_abandoned:
            raise RunAbandoned
        if time.monotonic() > self._deadline:
            raise RunStopped(_late_text(self._log.step) % {"seconds": MAX_SECONDS})
        if self._is_cancelled():
            raise RunCancelled(_("Cancelled."))

    def abandon(self) -> None:
        """Lets the other thread stop as soon as it wakes up."""
        self._is_abandoned = self._log.is_abandoned = True
        # What it still does is not shown.
        self.trial = Trial()
        self._context.abandon()

    def _pull(self) -> Page | None:
        service = self._service
        if options := since_options(service):
            start = start_of_pull(options, service.since)
            self._context.since = json_value(start, is_time=options.is_run_start) if start else None
        source: Any = (
            Replay(service, self._replay_of, self._context)
            if self._replay_of is not None
            else open_source(service, self._context)
        )
        with source:
            page: Page | None = next(source.pages(), None)
        return page


def _is_without_response(error: Exception) -> bool:
    return (
        isinstance(error, ConnectorError)
        and error.response is None
        and isinstance(error.__cause__, TemporaryError)
    )


def _next_page_error(page: Page) -> str:
    url = (page.following or "").partition(" ")[2]
    parts = urlsplit(url)
    if not url:
        return ""
    if parts.scheme not in HTTP_SCHEMES:
        return _("A run would fail at the next page: its URL is neither http nor https.")
    if page.records and page.following == f"GET {page.origin}":
        return _("A run would fail at the next page: it is this page again.")
    try:
        check_host(parts.hostname or "")
    except AddressRefused as error:
        return _("A run would fail at the next page: %(reason)s") % {"reason": error}
    return ""


def _late_text(step: Step) -> str:
    if step == Step.SCRIPT:
        return _(
            "The script did not end within %(seconds)g s, the limit of a preview. Check its loops; a smaller page "
            "size may help."
        )
    if step == Step.PUSH:
        return _("The requests were not complete within %(seconds)g s, the limit of a preview.")
    return _(
        "The source sent no complete page within %(seconds)g s, the limit of a preview. Check whether it responds; a "
        "smaller page size may help."
    )
