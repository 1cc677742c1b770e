"""Deletion of expired payloads in three steps: mark as deleting, delete the objects, record the result.

It may be killed at any point: marked payloads are taken again when their lease has expired.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Greatest, Now

from apps.runs.models import Payload, Run
from apps.runs.payloads.object_store import MAX_KEYS, delete_objects

logger = logging.getLogger(__name__)

# Time that a worker has for a batch before another one may take it.
_BATCH_LEASE = timedelta(minutes=5)
_LONGEST_BACKOFF = timedelta(hours=1)


@dataclass
class Deletion:
    """Result of one clean-up: deleted objects and failures."""

    deleted: int = 0
    failed: int = 0


def set_expiry(run: Run, retention: timedelta) -> None:
    """Sets the expiry of the payloads of an ended run; held ones expire later.

    Incomplete uploads are deleted by the clean-up and become lost.
    """
    # Most runs store nothing, and asking is several times cheaper than the UPDATE.
    if not run.payloads.exists():
        return
    ended = Run.objects.filter(pk=run.pk)
    usual = Coalesce("expires_at", Subquery(ended.values("finished_at")) + retention)
    held = Coalesce(Subquery(ended.values("held_until")), usual)
    open_ended = Q(status__in=(Payload.Status.PENDING, Payload.Status.STORED)) | Q(expires_at=None)
    run.payloads.filter(open_ended).update(
        status=Case(
            When(status=Payload.Status.PENDING, then=Value(Payload.Status.DELETING)), default="status"
        ),
        expires_at=Case(
            When(status=Payload.Status.PENDING, then=Now()),
            When(status=Payload.Status.STORED, then=Greatest(usual, held)),
            default=usual,
        ),
    )


def expiry_lag() -> timedelta:
    """Time since the oldest expired object in the store expired; zero if there is none."""
    waiting = Payload.objects.filter(
        status__in=(Payload.Status.STORED, Payload.Status.DELETING), expires_at__lte=Now()
    )
    oldest = waiting.order_by("expires_at").values_list(Now(), "expires_at").first()
    if oldest is None:
        return timedelta()
    now, expires_at = oldest
    lag: timedelta = now - expires_at
    return lag


def delete_expired_payloads(*, max_seconds: float = 45) -> Deletion:
    """Deletes expired payloads, oldest first, in batches of 1,000, until none is left or the time is over.

    Several workers may do this at once. While the store deletes one batch, the database records the previous and
    selects the next one. If the store refuses a whole batch, the rest waits for the next run.
    """
    total = Deletion()
    until = time.monotonic() + max_seconds
    under_way: tuple[list[Payload], Future[dict[str, str]]] | None = None
    with ThreadPoolExecutor(1, "delete-objects") as pool:
        while True:
            batch = _claim_batch() if time.monotonic() < until else []
            following = None
            if batch:
                keys = [payload.key for payload in batch]
                following = batch, pool.submit(delete_objects, keys)
            if under_way is not None and not _record_batch(total, *under_way):
                until = 0
            under_way = following
            if under_way is None:
                break
    if total.deleted or total.failed:
        level = logging.WARNING if total.failed else logging.INFO
        logger.log(level, "Expired payloads: %d deleted, %d failed", total.deleted, total.failed)
    return total


def _record_batch(total: Deletion, batch: list[Payload], deletion: Future[dict[str, str]]) -> bool:
    """Waits for the deletion of a batch and records the result; returns whether anything was deleted."""
    failed = deletion.result()
    total.deleted += _record_deleted(batch, failed)
    total.failed += len(failed)
    _record_failed(batch, failed)
    return len(failed) < len(batch)


def _claim_batch() -> list[Payload]:
    """Marks the next batch as deleting: it becomes unreadable, and no other worker takes it."""
    with transaction.atomic():
        batch = list(
            Payload.objects.expired()
            .select_for_update(skip_locked=True)
            .only("key", "delete_attempts", "sha256")[:MAX_KEYS]
        )
        Payload.objects.filter(pk__in=[payload.pk for payload in batch]).update(
            status=Payload.Status.DELETING,
            delete_attempts=F("delete_attempts") + 1,
            next_delete_at=Now() + _BATCH_LEASE,
        )
    return batch


def _record_deleted(batch: list[Payload], failed: dict[str, str]) -> int:
    """Records deleted payloads; returns their number without those that another worker recorded."""
    noted = 0
    deleted = [payload for payload in batch if payload.key not in failed]
    # An incomplete upload is lost, not deleted.
    for status, is_whole in ((Payload.Status.DELETED, True), (Payload.Status.LOST, False)):
        ids = [payload.pk for payload in deleted if bool(payload.sha256) is is_whole]
        if ids:
            noted += Payload.objects.filter(pk__in=ids, status=Payload.Status.DELETING).update(
                status=status, deleted_at=Now(), delete_error="", next_delete_at=None
            )
    return noted


def _record_failed(batch: list[Payload], failed: dict[str, str]) -> None:
    """Records why the deletion failed and when to retry, one statement per reason."""
    alike: dict[tuple[str, int], list[UUID]] = defaultdict(list)
    for payload in batch:
        if payload.key in failed:
            alike[failed[payload.key], payload.delete_attempts].append(payload.pk)
    for (reason, attempts), ids in alike.items():
        Payload.objects.filter(pk__in=ids, status=Payload.Status.DELETING).update(
            delete_error=reason[:500], next_delete_at=Now() + _backoff(attempts)
        )


def _backoff(attempts: int) -> timedelta:
    """One minute, doubled with each failed attempt, at most an hour."""
    return min(timedelta(minutes=2 ** min(attempts, 10)), _LONGEST_BACKOFF)
