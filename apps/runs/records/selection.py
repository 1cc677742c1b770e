"""Selection: limits a run to some of the records that it pulls."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from apps.runs.log.run_log import RunLog
from apps.runs.models import Record, RecordSelection, Run
from apps.runs.records.keys import key_text
from apps.runs.records.tracking import RecordTracker

logger = logging.getLogger(__name__)

# Keys that a log line lists.
MAX_LISTED = 20


class Selection:
    """The records that a run processes: all, one (`record_id`), or those that are sent again."""

    def __init__(self, run: Run, tracker: RecordTracker, log: RunLog) -> None:
        self._run = run
        self._log = log
        self._tracker = tracker
        # None = all.
        self.keys: frozenset[str] | None = None
        self.is_resync = False
        # Whether the script gets records that are not selected, so that its output must be filtered.
        self._filters_output = False
        record_id = run.options.get("record_id")
        if record_id is not None:
            self.keys = frozenset([key_text(record_id)])
        selections = RecordSelection.objects.filter(run=run).values_list("keys", flat=True)
        for keys in log.read_from_database(lambda: list(selections)):
            self.keys = frozenset(keys)
            self.is_resync = True
        # Selected keys that were not found yet.
        self._missing = set(self.keys or ())

    def log_start(self) -> None:
        if self.is_resync and self.keys is not None:
            logger.info(
                "Resync of %s of run %s: %s",
                records_text(len(self.keys)),
                self._run.retry_of_id,
                listed(self.keys),
            )

    def choose(self, page: int, records: list[Any]) -> list[Any]:
        """The pulled records to process; tracks the selected ones."""
        if self.keys is None:
            self._tracker.pull(page, records)
            return records
        keys = [self._tracker.pulled_key(record) for record in records]
        chosen = [record for key, record in zip(keys, records, strict=True) if key in self.keys]
        self._missing.difference_update(keys)
        self._tracker.pull(page, chosen)
        # The script may return a missing key for any record of the page.
        self._filters_output = self.is_resync and self._run.script is not None and bool(self._missing)
        return records if self._filters_output else chosen

    def choose_output(self, returned: list[Any]) -> list[Any]:
        """The selected ones of the records that the script returned; tracks them."""
        if self.keys is not None and self._filters_output:
            keys = [self._tracker.pushed_key(record) for record in returned]
            self._missing.difference_update(keys)
            returned = [record for key, record in zip(keys, returned, strict=True) if key in self.keys]
        self._tracker.transform(returned)
        return returned

    def skip_accepted(self, records: list[Any]) -> list[Any]:
        """The records without those that were pushed since the run that is repeated; lists them in the log."""
        if not self.is_resync:
            return records
        key_of = self._tracker.pushed_key
        keys = {key_of(record) for record in records}
        accepted = self._log.read_from_database(lambda: self._accepted(keys))
        for key, run_id in accepted.items():
            message = f"Already accepted by run {run_id}"
            self._tracker.decide([key], Record.Outcome.SKIPPED, message=message)
            logger.info("Record %s is skipped: run %d has pushed it", key, run_id)
        return [record for record in records if key_of(record) not in accepted]

    def _accepted(self, keys: Collection[str]) -> dict[str, int]:
        """Those of the keys that were pushed since the run that is repeated, with the number of the run."""
        repeated = self._repeated_run_id()
        if repeated is None:
            return {}
        accepted = Record.objects.filter(
            key__in=keys,
            run_id__gte=repeated,
            run__service=self._run.service_id,
            outcome=Record.Outcome.PUSHED,
        )
        return dict(accepted.values_list("key", "run_id"))

    def _repeated_run_id(self) -> int | None:
        """The run whose records are sent again; of an automatic retry, that of its first attempt."""
        run = self._run
        while run.is_automatic and run.retry_of is not None:
            run = run.retry_of
        return run.retry_of_id

    def log_missing(self) -> None:
        if self._missing:
            logger.warning(
                "Records of the selection that the source did not contain: %s", listed(self._missing)
            )


def records_text(count: int) -> str:
    """`1 record`, `2,000 records`."""
    return f"{count:,} record" if count == 1 else f"{count:,} records"


def listed(keys: Collection[str]) -> str:
    """Keys for a log line: the number of those beyond MAX_LISTED."""
    more = len(keys) - MAX_LISTED
    return ", ".join(sorted(keys)[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")
