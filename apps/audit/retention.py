"""Retention of the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models.functions import Now

from apps.audit.models import AuditEvent
from apps.audit.trail import KINDS, Entry

ROWS_AT_ONCE = 5000
# The rest waits for the next run.
_MAX_BATCHES = 200


def prune_audit_log(retention: timedelta) -> int:
    """Deletes audit events and the history of the admin that are older than `retention`, oldest first.

    Returns the number of deleted entries.
    """
    deleted = 0
    old_events = AuditEvent.objects.filter(occurred_at__lt=Now() - retention).order_by("occurred_at", "pk")
    old_history = LogEntry.objects.filter(action_time__lt=Now() - retention).order_by("action_time", "pk")
    for old in (old_events, old_history):
        for _batch in range(_MAX_BATCHES):
            numbers = list(old.values_list("pk", flat=True)[:ROWS_AT_ONCE])
            if numbers:
                # _raw_delete: nothing refers to these rows, so there is nothing to collect.
                deleted += old.model._base_manager.filter(pk__in=numbers)._raw_delete(old.db)
            if len(numbers) < ROWS_AT_ONCE:
                break
    return deleted


def copy_entries(entries: Iterable[Entry]) -> None:
    """Copies entries whose rows are deleted in the same transaction, so that they stay in the log."""
    AuditEvent.objects.bulk_create(
        [
            AuditEvent(
                occurred_at=entry.occurred_at,
                action=entry.action,
                user_id=entry.user_id,
                username=entry.username,
                command=entry.command,
                token=entry.token,
                address=entry.address,
                content_type=ContentType.objects.get_for_model(KINDS[entry.kind].model),
                object_id=entry.object_id,
                object_name=entry.object_name[:200],
                detail=entry.detail,
                changes=list(entry.changes),
            )
            for entry in entries
        ],
        batch_size=1000,
    )
