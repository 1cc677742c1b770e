"""Sources of entries: audit events, and the history of Django's admin; and the kinds of objects of Django."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.audit.models import Action, AuditEvent
from apps.audit.trail import KINDS as ALL_KINDS
from apps.audit.trail import Entry, Filters, Kind, Position, Source, matching

KINDS = (
    Kind("user", _("User"), User, ("username",)),
    Kind("group", _("Group"), Group, ("name",)),
)
# Other flags of the history mean a change.
_ACTIONS = {ADDITION: Action.ADDED, DELETION: Action.DELETED}
_FLAGS = {Action.ADDED: ADDITION, Action.DELETED: DELETION, Action.CHANGED: CHANGE}


def kind_of(content_type_id: int | None) -> Kind | None:
    """The kind of the objects of a content type, None if the log has none for it."""
    if content_type_id is None:
        return None
    model = ContentType.objects.get_for_id(content_type_id).model_class()
    return next((kind for kind in ALL_KINDS.values() if kind.model is model), None)


def _event_rows(filters: Filters, reader: Any) -> QuerySet[AuditEvent]:
    events = AuditEvent.objects.all()
    if filters.action is not None:
        events = events.filter(action=filters.action)
    return matching(events, filters, reader)


def _event_entry(event: AuditEvent) -> Entry:
    kind = kind_of(event.content_type_id)
    return Entry(
        position=Position(event.occurred_at, "event", event.pk),
        action=Action(event.action),
        user_id=event.user_id,
        username=event.username,
        kind=kind.name if kind else "",
        object_id=event.object_id,
        object_name=event.object_name,
        command=event.command,
        token=event.token,
        address=event.address,
        detail=event.detail,
        changes=event.changes,
        count=event.count,
    )


def _history_rows(filters: Filters, reader: Any) -> QuerySet[LogEntry]:
    history = LogEntry.objects.select_related("user")
    if filters.action is not None:
        history = history.filter(_has_action(filters.action))
    return matching(history, filters, reader)


def _has_action(action: Action) -> Q:
    """The rows of the history whose entries have the action, see `_history_entry`."""
    is_text = ~Q(change_message="") & ~Q(change_message__startswith="[")
    types = {
        ContentType.objects.get_for_model(kind.model): kind.text_action == action
        for kind in ALL_KINDS.values()
    }
    by_text = is_text & Q(content_type__in=[each for each, has_action in types.items() if has_action])
    if action not in _FLAGS:
        return by_text
    return by_text | (Q(action_flag=_FLAGS[action]) & ~(is_text & Q(content_type__in=[*types])))


def _history_entry(row: LogEntry) -> Entry:
    kind = kind_of(row.content_type_id)
    action = _ACTIONS.get(row.action_flag, Action.CHANGED)
    message = row.change_message
    changes, detail = _changes_of(message)
    if message and changes is None:
        action, detail = (kind.text_action if kind else action), message
    elif action == Action.CHANGED and not changes and not detail:
        detail = row.get_change_message()
    return Entry(
        position=Position(row.action_time, "history", row.pk),
        action=action,
        user_id=row.user_id,
        username=row.user.get_username(),
        kind=kind.name if kind else "",
        object_id=row.object_id or "",
        object_name=row.object_repr,
        detail=detail,
        changes=changes or (),
    )


def _changes_of(message: str) -> tuple[list[dict[str, Any]] | None, str]:
    """The values and the note in a message of the history; None if it is a text."""
    if not message.startswith("["):
        return None, ""
    try:
        parts = json.loads(message)
    except json.JSONDecodeError:
        return None, ""
    changes = [change for part in parts for change in part.get("values", ())]
    return changes, " ".join(part["note"] for part in parts if "note" in part)


SOURCES = (
    Source("event", "occurred_at", "user", _event_rows, _event_entry),
    Source("history", "action_time", "user", _history_rows, _history_entry),
)
