"""Unchanged records: finds those that equal what the destination last accepted for their key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from apps.runs.log.record_file import RecordFile
from apps.runs.models import AcceptedContent, Run


class UnchangedRecords:
    """Compares what is about to be pushed with the accepted contents of the service."""

    def __init__(self, run: Run, file: RecordFile, key_of: Callable[[Any], str]) -> None:
        self._service_id = run.service_id
        self._file = file
        self._key_of = key_of

    def find(self, records: Sequence[Any]) -> set[str]:
        """Keys of the unchanged records."""
        digests = self._digests(records)
        accepted = AcceptedContent.objects.filter(service_id=self._service_id, key__in=digests)
        return {key for key, digest in accepted.values_list("key", "digest") if digests[key] == digest}

    def accept(self, records: Sequence[Any]) -> None:
        """Remembers the contents that the destination accepted."""
        self._file.accept(self._service_id, self._digests(records).items())

    def _digests(self, records: Sequence[Any]) -> dict[str, str]:
        return {key: _digest(record) for record in records if (key := self._key_of(record))}


def _digest(record: Any) -> str:
    """Digest of the content; the order of members makes no difference."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
