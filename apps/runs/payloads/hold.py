"""Hold: retains the log and the payloads of a run until a date, with a reason."""

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

# Evidence is examined within weeks; what is needed longer must be downloaded.
MAX_HOLD = timedelta(days=90)


def hold_run(run: Run, user: Any, until: datetime, reason: str, *, now: datetime) -> None:
    """Holds the log and the unexpired payloads of the run until `until`; recorded in the history.

    A second hold replaces the first. Raises ValidationError with the invalid fields: `until`, `reason`.
    """
    reason = reason.strip()
    errors = {}
    if not now < until <= now + MAX_HOLD:
        days = MAX_HOLD.days
        errors["until"] = ngettext(
            "Choose a time within the next %(days)s day.",
            "Choose a time within the next %(days)s days.",
            days,
        ) % {"days": days}
    if not 0 < len(reason) <= 500:
        errors["reason"] = _("Give a reason of at most 500 characters.")
    if errors:
        raise ValidationError(errors)
    message = _("Held until %(until)s: %(reason)s") % {
        "until": f"{until:%Y-%m-%d %H:%M %Z}",
        "reason": reason,
    }
    _change_hold(run, user, message, held_until=until, hold_reason=reason, held_by=user)


def release_run(run: Run, user: Any) -> None:
    """Ends the hold: what would have expired by now expires at once. No effect on a run that is not held."""
    if run.held_until is not None:
        _change_hold(run, user, _("Hold released"), held_until=None, hold_reason="", held_by=None)


def _change_hold(run: Run, user: Any, message: str, **hold: Any) -> None:
    with transaction.atomic():
        # Retention locks the same row.
        locked = Run.objects.select_for_update().get(pk=run.pk)
        for name, value in hold.items():
            setattr(locked, name, value)
            setattr(run, name, value)
        locked.save(update_fields=list(hold))
        if locked.finished_at is not None:
            usual = locked.finished_at + settings.PAYLOAD_RETENTION
            # Expired payloads stay expired.
            run.payloads.filter(status=Payload.Status.STORED, expires_at__gt=Now()).update(
                expires_at=max(usual, locked.held_until or usual)
            )
        LogEntry.objects.log_actions(user.pk, [locked], CHANGE, change_message=message, single_object=True)
