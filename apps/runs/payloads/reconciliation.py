"""Reconciliation: compares rows and objects in both directions and repairs what a crash left."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import batched

from django.conf import settings
from django.core.files.storage import storages
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Now

from apps.runs.models import Payload, Run
from apps.runs.payloads.object_store import (
    MAX_KEYS,
    StoredObject,
    abandoned_uploads,
    abort_upload,
    delete_objects,
    list_objects,
    remove_empty_folders,
)

logger = logging.getLogger(__name__)

# Younger objects and rows may belong to an upload that is still running.
_YOUNG = timedelta(hours=1)
# A longer multipart upload is abandoned.
_LONGEST_UPLOAD = timedelta(days=1)


@dataclass
class Reconciliation:
    """What did not match: objects without a row, rows without an object, abandoned uploads."""

    objects_without_row: int = 0
    rows_without_object: int = 0
    abandoned_uploads: int = 0
    # Rows of ended runs that were incomplete or would never expire.
    stale_rows: int = 0
    # Objects that could not be deleted.
    failed: int = 0


def reconcile_payloads(now: datetime, *, dry_run: bool = False) -> Reconciliation:
    """Repairs what does not match; with `dry_run` only counts it. Raises errors of the store.

    Memory: one key of about 150 bytes for each payload in the store.
    """
    found = Reconciliation()
    found.stale_rows = _repair_stale_rows(dry_run=dry_run)
    # Read before the objects are listed: what is stored in the meantime is listed, not missing.
    expected = set(
        Payload.objects.filter(status=Payload.Status.STORED, created_at__lt=Now() - _YOUNG).values_list(
            "key", flat=True
        )
    )
    for listed in batched(list_objects(), MAX_KEYS):
        expected.difference_update(entry.key for entry in listed)
        _delete_orphans(found, _orphans(listed, now - _YOUNG), dry_run=dry_run)
    for keys in batched(sorted(expected), MAX_KEYS):
        found.rows_without_object += _mark_missing_lost(keys, dry_run=dry_run)
    for key, upload in abandoned_uploads(now - _LONGEST_UPLOAD):
        found.abandoned_uploads += 1
        if not dry_run:
            abort_upload(key, upload)
    if not dry_run:
        remove_empty_folders(now - _LONGEST_UPLOAD)
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in asdict(found).items())
    logger.info("Payloads reconciled%s: %s", " (dry run)" if dry_run else "", counts)
    return found


def _repair_stale_rows(*, dry_run: bool) -> int:
    """Sets the state that the end of a run should have left in its rows; returns their number."""
    ended = Payload.objects.exclude(run__status__in=Run.OPEN)
    pending = ended.filter(status=Payload.Status.PENDING, created_at__lt=Now() - _YOUNG)
    endless = ended.filter(status=Payload.Status.STORED, expires_at=None)
    if dry_run:
        return pending.count() + endless.count()
    finished_at = Run.objects.filter(pk=OuterRef("run_id")).values("finished_at")
    repaired = pending.update(status=Payload.Status.DELETING, expires_at=Now())
    return repaired + endless.update(expires_at=Subquery(finished_at) + settings.PAYLOAD_RETENTION)


def _orphans(listed: Iterable[StoredObject], before: datetime) -> Iterator[str]:
    """Keys of old objects without a row."""
    old = [entry.key for entry in listed if entry.modified_at < before]
    known = set(Payload.objects.with_object().filter(key__in=old).values_list("key", flat=True))
    return (key for key in old if key not in known)


def _delete_orphans(found: Reconciliation, orphans: Iterable[str], *, dry_run: bool) -> None:
    keys = list(orphans)
    found.objects_without_row += len(keys)
    if keys and not dry_run:
        failed = delete_objects(keys)
        found.failed += len(failed)
        for key in keys:
            logger.warning("An object without a row %s: %s", failed.get(key, "was deleted"), key)


def _mark_missing_lost(keys: Iterable[str], *, dry_run: bool) -> int:
    """Marks rows without an object as lost, unless they were deleted in the meantime; returns their number."""
    rows = Payload.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=Now()), key__in=keys, status=Payload.Status.STORED
    )
    missing = [row for row in rows if not storages["payloads"].exists(row.key)]
    if dry_run or not missing:
        return len(missing)
    for row in missing:
        logger.warning("Payload %s of run %d has no object in the store", row.pk, row.run_id)
    return rows.filter(pk__in=[row.pk for row in missing]).update(status=Payload.Status.LOST)
