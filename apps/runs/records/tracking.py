"""Tracking: follows each record of a run by its key, from the pull to the push."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Lock

from apps.runs.log.record_file import Decision, UndecidedKeys
from apps.runs.log.run_log import RunLog
from apps.runs.models import Record, Run, Step
from apps.runs.records.keys import key_reader
from apps.services.connectors.base import Delivery
from apps.services.connectors.base import Record as Content
from apps.services.definition.expression import Expression

logger = logging.getLogger(__name__)

MAX_MESSAGE_LENGTH = 500
OUTCOME_UNKNOWN = "No response was recorded: the destination may have accepted it."


class RecordTracker:
    """Writes the outcome of each record to the record file; call it before the line that it belongs to is logged.

    It holds the keys of one page.
    """

    def __init__(self, run: Run, log: RunLog, pulled: Expression, pushed: Expression) -> None:
        self._log = log
        self._file = log.records
        self._is_on = run.service.track_records
        self.pulled_key = key_reader(pulled)
        # Without a script, the pushed record is the pulled one.
        self.pushed_key = key_reader(pushed) if run.script else self.pulled_key
        self._key_name = pushed.text
        self._page = 0
        self._pulled: list[str] = []
        # Keys of the page without an outcome.
        self._open: dict[str, None] = {}
        # From here on the file may contain keys without an outcome, of this page or of earlier ones.
        self._open_offset = self._file.size
        self._has_earlier_open = False
        # An abandoned pipeline may still try to write when the run has ended.
        self._lock = Lock()
        self._is_finished = False
        self._keyless_count = self._keyless_output_count = 0

    def pull(self, page: int, records: Sequence[Content]) -> None:
        """Tracks the records of a page."""
        self._has_earlier_open |= bool(self._open)
        if not self._has_earlier_open:
            self._open_offset = self._file.size
        self._page = page
        keys = [self.pulled_key(record) for record in records]
        self._pulled = list(filter(None, dict.fromkeys(keys)))
        self._keyless_count += keys.count("")
        self._note(Step.PULL, self._pulled)

    def transform(self, returned: Sequence[Content]) -> None:
        """Compares the output of the script with the page."""
        keys = [self.pushed_key(record) for record in returned]
        output = dict.fromkeys(filter(None, keys))
        self._keyless_output_count += keys.count("")
        if keys and not output:
            # None of them can be recognized, so they are not known to be dropped.
            outcome = Record.Outcome.PULLED
            message = f"The script's output has no “{self._key_name}”: set “id_field” of the destination."
        else:
            outcome, message = Record.Outcome.DROPPED, ""
        self.decide(
            [key for key in self._pulled if key not in output], outcome, step=Step.SCRIPT, message=message
        )
        self._note(Step.SCRIPT, output)

    def deliver(self, delivery: Delivery) -> None:
        """Records the response of the destination."""
        if delivery.records is None:
            for undecided in self._undecided():
                self.decide(undecided.keys, Record.Outcome.PUSHED, page=undecided.page, batch=delivery.batch)
            return
        self.decide(self._pushed_keys(delivery.accepted_records), Record.Outcome.PUSHED, batch=delivery.batch)
        for reason, records in delivery.refused_by_reason().items():
            keys = self._pushed_keys(records)
            message = f"{delivery.status} {reason}".strip()
            self.decide(keys, Record.Outcome.REFUSED, batch=delivery.batch, message=message)

    def _pushed_keys(self, records: Iterable[Content]) -> Iterator[str]:
        return filter(None, map(self.pushed_key, records))

    def decide(
        self,
        keys: Iterable[str],
        outcome: Record.Outcome,
        *,
        step: Step = Step.PUSH,
        page: int | None = None,
        batch: int = 0,
        message: str = "",
        sequence: int | None = None,
    ) -> None:
        """Writes the outcome of records, by default of the current page and of the line that is logged next."""
        keys = tuple(dict.fromkeys(keys))
        if not self._is_on:
            return
        decision = Decision(
            outcome,
            step,
            self._log.next_sequence if sequence is None else sequence,
            self._page if page is None else page,
            batch,
            self._shortened(message),
        )
        with self._lock:
            if self._is_finished:
                return
            self._file.decide(keys, decision)
        for key in keys:
            self._open.pop(key, None)

    def end_dry_run_page(self) -> None:
        """Nothing more happens to the records of a page that is not pushed."""
        self.decide(tuple(self._open), Record.Outcome.PULLED, step=Step.PULL)

    def finish(self, error: str, in_flight: Sequence[Content] | None) -> None:
        """Decides on what is left when the run has ended, by `error` unless it is empty.

        The destination may have accepted the records `in_flight`, see RunContext. The last line is that of the error.
        """
        if not self._is_on:
            return
        with self._lock:
            self._is_finished = True
        sequence = self._log.last_sequence
        outcome = Record.Outcome.FAILED if error else Record.Outcome.PULLED
        unknown = Decision(Record.Outcome.PULLED, Step.PUSH, sequence, self._page, message=OUTCOME_UNKNOWN)
        sent = None if in_flight is None else {self.pushed_key(record) for record in in_flight}
        for undecided in self._undecided():
            unsure = [key for key in undecided.keys if sent is None or key in sent]
            left = [key for key in undecided.keys if sent is not None and key not in sent]
            self._file.decide(
                left,
                Decision(outcome, undecided.step, sequence, undecided.page, message=self._shortened(error)),
            )
            self._file.decide(unsure, replace(unknown, page=undecided.page))
        self._log_keyless()

    def _log_keyless(self) -> None:
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (self._keyless_count, "pulled"),
                (self._keyless_output_count, "returned by the script"),
            )
            if count
        ]
        if parts:
            logger.info("Records without a key, which are not tracked: %s (id_field)", ", ".join(parts))

    def _note(self, step: Step, keys: Iterable[str]) -> None:
        self._open = dict.fromkeys(keys)
        if self._open and self._is_on:
            self._file.note(self._page, step, self._open)

    def _undecided(self) -> Iterator[UndecidedKeys]:
        """Keys without an outcome; further outcomes may be written while this is read."""
        end = self._file.size
        yield from self._file.undecided(self._open_offset, end)
        self._open_offset = end

    def _shortened(self, message: str) -> str:
        return short_message(self._log.cleaned(message))


def short_message(message: str) -> str:
    """The first line of a clean message, shortened."""
    line = message.partition("\n")[0]
    return line if len(line) <= MAX_MESSAGE_LENGTH else f"{line[: MAX_MESSAGE_LENGTH - 1]}…"
