"""Runs and reads of their payloads in the audit log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.audit.models import Action
from apps.audit.retention import copy_entries
from apps.audit.trail import Entry, Filters, Kind, Position, Source
from apps.runs.models import PayloadRead, Run
from apps.services.audit_kinds import unless_all_visible

# The only texts in the history of a run are those of its hold.
RUN = Kind("run", _("Run"), Run, (), unless_all_visible(Run.objects.visible_to), Action.HELD)


def _rows(filters: Filters, reader: Any) -> QuerySet[PayloadRead] | None:
    if filters.kind not in (None, RUN) or filters.action not in (None, Action.READ):
        return None
    reads = PayloadRead.objects.select_related("user", "payload__service")
    if filters.object_ids is not None:
        reads = reads.filter(payload__run__in=[int(number) for number in filters.object_ids])
    visible = RUN.visible_to(reader)
    return reads if visible is None else reads.filter(payload__run__in=visible)


def _entry(read: PayloadRead) -> Entry:
    run_id = read.payload.run_id
    return Entry(
        position=Position(read.read_at, "payload-read", read.pk),
        action=Action.READ,
        user_id=read.user_id,
        username=read.user.get_username() if read.user else "",
        kind=RUN.name,
        object_id=str(run_id),
        object_name=Run.audit_name(run_id, read.payload.service),
        token=read.token,
        address=read.address,
        detail=read.payload.name,
    )


READS = Source("payload-read", "read_at", "user", _rows, _entry, has_database_time=True)


def copy_reads(run_ids: Collection[int]) -> None:
    """Copies the entries of payloads that are deleted with their runs in the same transaction."""
    reads = PayloadRead.objects.filter(payload__run__in=run_ids)
    copy_entries(map(_entry, reads.select_related("user", "payload__service").iterator()))
