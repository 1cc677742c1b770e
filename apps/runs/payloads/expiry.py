"""Deletes expired payloads: first marked, so that nobody reads what is going, then the objects, then noted.

It may be killed between any two of these: what is marked and not noted is taken up again when its lease is over.
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
from apps.runs.payloads.object_store import MOST_KEYS, delete_objects

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
    """Let the payloads of a run that has just ended expire, held ones later; in the transaction that ends it.

    What was being uploaded is not whole: the clean-up deletes it, and it is lost.
    """
    # Most runs keep nothing, and to put the UPDATE together takes several times as long as to ask.
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
    """For how long the oldest expired object has been there; zero where there is none."""
    waiting = Payload.objects.filter(
        status__in=(Payload.Status.STORED, Payload.Status.DELETING), expires_at__lte=Now()
    )
    oldest = waiting.order_by("expires_at").values_list(Now(), "expires_at").first()
    if oldest is None:
        return timedelta()
    now, expires_at = oldest
    lag: timedelta = now - expires_at
    return lag


def delete_expired_payloads(*, most_seconds: float = 45) -> Deletion:
    """Delete what has expired, oldest first, in batches of 1,000, until none is left or the time is over.

    Several may do so side by side. While the store deletes one batch, the database notes the one before and marks
    the one after. Where the store refuses a whole batch, the rest waits for the next time.
    """
    total = Deletion()
    until = time.monotonic() + most_seconds
    under_way: tuple[list[Payload], Future[dict[str, str]]] | None = None
    with ThreadPoolExecutor(1, "delete-objects") as pool:
        while True:
            batch = _take_batch() if time.monotonic() < until else []
            following = None
            if batch:
                keys = [payload.key for payload in batch]
                following = batch, pool.submit(delete_objects, keys)
            if under_way is not None and not _note(total, *under_way):
                until = 0
            under_way = following
            if under_way is None:
                break
    if total.deleted or total.failed:
        level = logging.WARNING if total.failed else logging.INFO
        logger.log(level, "Expired payloads: %d deleted, %d could not be", total.deleted, total.failed)
    return total


def _note(total: Deletion, batch: list[Payload], deletion: Future[dict[str, str]]) -> bool:
    """Wait for the deletion of a batch, and write down how it went; whether anything of it was deleted."""
    failed = deletion.result()
    total.deleted += _note_deleted(batch, failed)
    total.failed += len(failed)
    _note_failed(batch, failed)
    return len(failed) < len(batch)


def _take_batch() -> list[Payload]:
    """Mark the next batch as being deleted: from here on it cannot be read, and no other worker takes it."""
    with transaction.atomic():
        batch = list(
            Payload.objects.expired()
            .select_for_update(skip_locked=True)
            .only("key", "delete_attempts", "sha256")[:MOST_KEYS]
        )
        Payload.objects.filter(pk__in=[payload.pk for payload in batch]).update(
            status=Payload.Status.DELETING,
            delete_attempts=F("delete_attempts") + 1,
            next_delete_at=Now() + _BATCH_LEASE,
        )
    return batch


def _note_deleted(batch: list[Payload], failed: dict[str, str]) -> int:
    """Write down what is gone; how many, less those that another worker wrote down meanwhile."""
    noted = 0
    deleted = [payload for payload in batch if payload.key not in failed]
    # What never was whole is lost, not deleted.
    for status, is_whole in ((Payload.Status.DELETED, True), (Payload.Status.LOST, False)):
        ids = [payload.pk for payload in deleted if bool(payload.sha256) is is_whole]
        if ids:
            noted += Payload.objects.filter(pk__in=ids, status=Payload.Status.DELETING).update(
                status=status, deleted_at=Now(), delete_error="", next_delete_at=None
            )
    return noted


def _note_failed(batch: list[Payload], failed: dict[str, str]) -> None:
    """Write down why, and when to try again; in one statement for all that failed in the same way."""
    alike: dict[tuple[str, int], list[UUID]] = defaultdict(list)
    for payload in batch:
        if payload.key in failed:
            alike[failed[payload.key], payload.delete_attempts].append(payload.pk)
    for (reason, attempts), ids in alike.items():
        Payload.objects.filter(pk__in=ids, status=Payload.Status.DELETING).update(
            delete_error=reason[:500], next_delete_at=Now() + _backoff(attempts)
        )


def _backoff(attempts: int) -> timedelta:
    """One minute, doubled with each attempt that failed, an hour at the most."""
    return min(timedelta(minutes=2 ** min(attempts, 10)), _LONGEST_BACKOFF)
