"""Audit entries of previews and connection tests."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.utils.translation import gettext as _

from apps.services.models import Connection, Service


class TrialAudit:
    """The entry of one trial, which exists before the trial starts: a killed web process leaves it as it is."""

    def __init__(self, request: HttpRequest, subject: Service | Connection, name: str, what: str) -> None:
        """`what` was tried is the beginning of the message."""
        self._what = what
        self._entry = LogEntry.objects.create(
            user_id=request.user.pk or 0,
            content_type=ContentType.objects.get_for_model(subject),
            object_id=str(subject.pk) if subject.pk else None,
            object_repr=name[:200],
            action_flag=CHANGE,
            change_message=self._message(_("not completed")),
        )

    def complete(self, outcome: Any) -> None:
        self._entry.change_message = self._message(outcome)
        self._entry.save(update_fields=["change_message"])

    def _message(self, outcome: Any) -> str:
        return f"{self._what}: {outcome}"
