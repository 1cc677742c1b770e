"""Selection: limits a run to some of the records that it pulls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apps.runs.models import Record, RecordSelection, Run
from apps.runs.records.keys import key_text


class Selection:
    """The records that a run processes: all, one (`record_id`), or those that are to be sent again."""

    def __init__(self, run: Run, key_of: Callable[[Any], str]) -> None:
        self._run = run
        self._key_of = key_of
        # None = all.
        self.keys: frozenset[str] | None = None
        record_id = run.options.get("record_id")
        if record_id is not None:
            self.keys = frozenset([key_text(record_id)])
        selected = RecordSelection.objects.filter(run=run).values_list("keys", flat=True).first()
        if selected is not None:
            self.keys = frozenset(selected)
        # Selected keys that were not pulled yet.
        self.missing = set(self.keys or ())

    def choose(self, records: Sequence[Any]) -> list[Any]:
        """The selected ones of the pulled records."""
        if self.keys is None:
            return list(records)
        chosen = [(key, record) for record in records if (key := self._key_of(record)) in self.keys]
        self.missing.difference_update(key for key, _record in chosen)
        return [record for _key, record in chosen]

    def accepted_since(self, records: Sequence[Any]) -> dict[str, int]:
        """Keys of the records that a run pushed since the run that is repeated, with its number."""
        if self.keys is None or self._run.retry_of_id is None:
            return {}
        return dict(
            Record.objects.filter(
                key__in={self._key_of(record) for record in records},
                run_id__gte=self._run.retry_of_id,
                run__service=self._run.service_id,
                outcome=Record.Outcome.PUSHED,
            ).values_list("key", "run_id")
        )
