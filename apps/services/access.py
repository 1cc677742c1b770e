"""Tells that it may have changed who may do or see what, so that such a decision may be remembered for a while."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from apps.services.models import AccessVersion, Service

_ROW = 1


def access_version() -> uuid.UUID | None:
    """What is another value once any user, group, session, token or limit of a service has changed."""
    return AccessVersion.objects.filter(pk=_ROW).values_list("value", flat=True).first()


def access_changed(**_signal: Any) -> None:
    """Say so once what was changed is committed.

    Models say it by their signals (see `watch`); whoever goes past these, as `update()` does, says it here.
    """
    if not any(after[1] is _renew for after in connection.run_on_commit):
        # What was changed is committed by then: an error here is logged, and is not that of whoever changed it.
        transaction.on_commit(_renew, robust=True)


def watch(*tables: type[models.Model]) -> None:
    """Let a row that is changed or deleted be a change of access; a new one takes nothing from anybody."""
    for table in tables:
        post_save.connect(_saved, sender=table)
        post_delete.connect(access_changed, sender=table)


def watch_relation(table: Any) -> None:
    """The same for what stands in the table of a relation, which is told of in a way of its own."""
    m2m_changed.connect(access_changed, sender=table)


def watch_all() -> None:
    """Watch what Django and this app decide access by."""
    watch(User, Group)
    # What else is kept in a session decides nothing.
    post_delete.connect(access_changed, sender=Session)
    for relation in (User.groups, User.user_permissions, Group.permissions, Service.groups):
        watch_relation(relation.through)


def _saved(*, created: bool, update_fields: frozenset[str] | None, **_signal: Any) -> None:
    # Nor does it that somebody signed in.
    if not created and update_fields != frozenset({"last_login"}):
        access_changed()


def _renew() -> None:
    AccessVersion.objects.bulk_create(
        [AccessVersion(pk=_ROW)], update_conflicts=True, unique_fields=["id"], update_fields=["value"]
    )
