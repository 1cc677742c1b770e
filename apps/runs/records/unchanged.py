"""Unchanged records: finds those that equal what the destination last accepted for their key."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from apps.runs.log.run_log import RunLog
from apps.runs.models import AcceptedContent, Record, Run
from apps.runs.records.tracking import RecordTracker
from apps.services.connectors.formats.documents import encode_json
from apps.services.exact_json import Encoder

logger = logging.getLogger(__name__)

_encoder = Encoder(sort_keys=True)


class UnchangedRecords:
    """Compares what is about to be pushed with the accepted contents of the service."""

    def __init__(self, run: Run, tracker: RecordTracker, log: RunLog) -> None:
        self._service_id = run.service_id
        self._tracker = tracker
        self._log = log

    def skip(self, page: int, records: list[Any]) -> list[Any]:
        """The records without the unchanged ones."""
        digests = self._digests(records)
        contents = AcceptedContent.objects.filter(service_id=self._service_id, key__in=digests)
        accepted = self._log.read_from_database(lambda: list(contents.values_list("key", "digest")))
        unchanged = {key for key, digest in accepted if digests[key] == digest}
        if unchanged:
            self._tracker.decide(unchanged, Record.Outcome.SKIPPED)
            logger.info(
                "Page %d: %d of %d records are unchanged and skipped", page, len(unchanged), len(records)
            )
        return [record for record in records if self._tracker.pushed_key(record) not in unchanged]

    def accept(self, records: Sequence[Any]) -> None:
        """Remembers the contents that the destination accepted."""
        self._log.records.accept(self._service_id, self._digests(records).items())

    def _digests(self, records: Sequence[Any]) -> dict[str, str]:
        return {key: _digest(record) for record in records if (key := self._tracker.pushed_key(record))}


def _digest(record: Any) -> str:
    """Digest of the content; the order of members makes no difference."""
    return hashlib.blake2b(encode_json(record, _encoder), digest_size=16).hexdigest()
