"""Deletes expired payloads: first marked, so that nobody reads what is going, then the objects, then noted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Subquery
from django.db.models.functions import Now

from apps.runs.models import Payload, Run
from apps.runs.payloads.objects import MOST_KEYS, delete_objects

logger = logging.getLogger(__name__)

# How long one worker has for a batch before another may take it up.
_BATCH_LEASE = timedelta(minutes=5)
_LONGEST_BACKOFF = timedelta(hours=1)


@dataclass
class Deletion:
    """What one clean-up did: objects deleted, and objects that could not be, for now."""

    deleted: int = 0
    failed: int = 0


def set_expiry(run: Run, retention: timedelta) -> None:
    """Let the payloads of a run that has just ended expire; in the transaction that ends it."""
    finished_at = Run.objects.filter(pk=run.pk).values("finished_at")
    run.payloads.filter(expires_at=None).update(expires_at=Subquery(finished_at) + retention)


def delete_expired_payloads(*, most_batches: int = 100) -> Deletion:
    """Delete what has expired, oldest first, in batches of 1,000; several may do so side by side."""
    total = Deletion()
    for _batch in range(most_batches):
        batch = _take_batch()
        if not batch:
            break
        failed = delete_objects([payload.key for payload in batch])
        _record(batch, failed)
        total.deleted += len(batch) - len(failed)
        total.failed += len(failed)
    if total.deleted or total.failed:
        level = logging.WARNING if total.failed else logging.INFO
        logger.log(level, "Expired payloads: %d deleted, %d could not be", total.deleted, total.failed)
    return total


def _take_batch() -> list[Payload]:
    """Mark the next batch as being deleted: from here on it cannot be read, and no other worker takes it."""
    with transaction.atomic():
        batch = list(
            Payload.objects.expired()
            .select_for_update(skip_locked=True)
            .only("key", "delete_attempts")[:MOST_KEYS]
        )
        Payload.objects.filter(pk__in=[payload.pk for payload in batch]).update(
            status=Payload.Status.DELETING,
            delete_attempts=F("delete_attempts") + 1,
            next_delete_at=Now() + _BATCH_LEASE,
        )
    return batch


def _record(batch: list[Payload], failed: dict[str, str]) -> None:
    deleted = [payload.pk for payload in batch if payload.key not in failed]
    Payload.objects.filter(pk__in=deleted, status=Payload.Status.DELETING).update(
        status=Payload.Status.DELETED, deleted_at=Now(), delete_error="", next_delete_at=None
    )
    for payload in batch:
        if payload.key in failed:
            Payload.objects.filter(pk=payload.pk).update(
                delete_error=failed[payload.key][:500],
                next_delete_at=Now() + _backoff(payload.delete_attempts),
            )


def _backoff(attempts: int) -> timedelta:
    """One minute, doubled with each attempt that failed, an hour at the most."""
    return min(timedelta(minutes=2 ** min(attempts, 10)), _LONGEST_BACKOFF)
