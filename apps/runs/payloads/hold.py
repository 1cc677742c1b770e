"""Keeps a run longer than others, its payloads and its log: with a reason, until a day, by a person."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.runs.models import Payload, Run

# Evidence is looked at within weeks; what is needed for longer is to be fetched and kept elsewhere.
LONGEST_HOLD = timedelta(days=90)


def hold_run(run: Run, user: Any, until: datetime, reason: str, *, now: datetime) -> None:
    """Keep the run's log, and those of its payloads that have not expired, until `until`; noted in the history.

    Held already, it is held until then instead. Raises ValidationError with the faulty fields: `until`, `reason`.
    """
    reason = reason.strip()
    errors = {}
    if not now < until <= now + LONGEST_HOLD:
        days = LONGEST_HOLD.days
        errors["until"] = ngettext(
            "Choose a time within the next %(days)s day.",
            "Choose a time within the next %(days)s days.",
            days,
        ) % {"days": days}
    if not 0 < len(reason) <= 500:
        errors["reason"] = _("Say why, in at most 500 characters.")
    if errors:
        raise ValidationError(errors)
    message = _("Held until %(until)s: %(reason)s") % {
        "until": f"{until:%Y-%m-%d %H:%M %Z}",
        "reason": reason,
    }
    _change_hold(run, user, message, held_until=until, hold_reason=reason, held_by=user)


def release_run(run: Run, user: Any) -> None:
    """End the hold: what would have expired by now expires at once. A run that is not held stays as it is."""
    if run.held_until is not None:
        _change_hold(run, user, _("Released from its hold"), held_until=None, hold_reason="", held_by=None)


def _change_hold(run: Run, user: Any, message: str, **hold: Any) -> None:
    with transaction.atomic():
        # Whoever deletes old runs looks at them under the same lock.
        locked = Run.objects.select_for_update().get(pk=run.pk)
        for name, value in hold.items():
            setattr(locked, name, value)
            setattr(run, name, value)
        locked.save(update_fields=list(hold))
        if locked.finished_at is not None:
            usual = locked.finished_at + settings.PAYLOAD_RETENTION
            # What has expired stays expired.
            run.payloads.filter(status=Payload.Status.STORED, expires_at__gt=Now()).update(
                expires_at=max(usual, locked.held_until or usual)
            )
        LogEntry.objects.log_actions(user.pk, [locked], CHANGE, change_message=message, single_object=True)
