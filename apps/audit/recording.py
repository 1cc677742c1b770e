"""Recording of actions, in the transaction of the action: if the entry cannot be written, the action fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model
from django.utils.translation import override

from apps.audit.changes import Values, differences, field_values
from apps.audit.models import Action, AuditEvent

# Rows that failed logins may add within an hour; later attempts are counted in one row.
MAX_FAILED_LOGINS = 100
# Name and prefix of the API token of the current request; empty = none.
token_of_request = ContextVar("token_of_request", default="")


def record_event(
    action: Action,
    *,
    user: Any = None,
    address: str | None = None,
    subject: Model | None = None,
    name: str = "",
    token: str = "",
    **columns: Any,
) -> AuditEvent:
    """Records what no other table does. `subject` is the object; `name` is what it is called, if not by its text."""
    return AuditEvent.objects.create(
        action=action,
        user=user,
        username=user.get_username() if user is not None else "",
        address=known_address(address),
        content_type=ContentType.objects.get_for_model(subject) if subject is not None else None,
        object_id=str(subject.pk) if subject is not None and subject.pk else "",
        object_name=(name or (str(subject) if subject is not None else ""))[:200],
        token=token or token_of_request.get(),
        **columns,
    )


def record_change(user: Any, row: Model, before: Values, note: str = "") -> None:
    """Records what `user` changed since `field_values` returned `before`, in the history of the row."""
    changes = differences(type(row), before, field_values(row))
    message: dict[str, Any] = {"changed": {"fields": field_labels(type(row), changes)}, "values": changes}
    if note:
        message["note"] = note
    LogEntry.objects.log_actions(user.pk, [row], CHANGE, change_message=[message], single_object=True)


def record_command_change(command: str, row: Model, before: Values | None, after: Values) -> None:
    """Records a change of a row by a management command; `before` is None if it is new."""
    record_event(
        Action.ADDED if before is None else Action.CHANGED,
        command=command,
        subject=row,
        changes=differences(type(row), before, after),
    )


def record_failed_login(user: Any, address: str | None, now: datetime) -> None:
    """Records a failed login; `user` is the account that was named, None if it does not exist.

    Attempts of one hour for the same account from the same address are one row, and beyond MAX_FAILED_LOGINS rows
    all others together, so that nobody can fill the table.
    """
    recent = AuditEvent.objects.filter(action=Action.LOGIN_FAILED, occurred_at__gte=now - timedelta(hours=1))
    same = recent.filter(user=user, address=known_address(address))
    if _count_again(same):
        return
    if recent[:MAX_FAILED_LOGINS].count() < MAX_FAILED_LOGINS:
        record_event(Action.LOGIN_FAILED, user=user, address=address, subject=user)
    elif not _count_again(recent.filter(user=None, address=None)):
        record_event(Action.LOGIN_FAILED)


def known_address(address: str | None) -> str | None:
    """The address of a client; None for a connection through a Unix socket."""
    try:
        return str(ip_address(address or ""))
    except ValueError:
        return None


def field_labels(model: type[Model], changes: Sequence[dict[str, Any]]) -> list[str]:
    """Untranslated labels of the changed fields: the history translates them."""
    labels = {field.name: field for field in (*model._meta.fields, *model._meta.many_to_many)}
    with override(None):
        return [
            str(labels[change["field"]].verbose_name) if change["field"] in labels else change["field"]
            for change in changes
        ]


def _count_again(events: Any) -> bool:
    latest = events.order_by("-occurred_at", "-pk").values_list("pk", flat=True).first()
    return bool(latest and AuditEvent.objects.filter(pk=latest).update(count=F("count") + 1))
