"""Query of the audit log: filters in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.audit.models import Action
from apps.audit.trail import KINDS, Filters, Position
from apps.console.ui.filters import (
    PERIODS,
    Period,
    choice_errors,
    custom_period,
    custom_period_errors,
    moment_from,
)

_DEFAULT_PERIOD = PERIODS[2]
PERIODS_BY_KEY = {period.key: period for period in PERIODS}


@dataclass(frozen=True)
class AuditQuery:
    """Filters of the audit log; the errors say which values are invalid, and then no entry matches."""

    # As typed, but no action and no kind that is unknown.
    user: str
    action: str
    kind: str
    object: str
    period: Period
    before: Position | None
    errors: list[str] = field(default_factory=list)

    @classmethod
    def from_query(cls, query: Mapping[str, str], last_period: str = "") -> AuditQuery:
        """Filters from a query string; `last_period` is the key of the period without one in it."""
        values = {
            name: query.get(name, "").strip() for name in ("user", "action", "kind", "object", "from", "to")
        }
        since, until = moment_from(values["from"]), moment_from(values["to"])
        if since or until:
            period = custom_period(since, until)
        else:
            period = PERIODS_BY_KEY.get(query.get("period") or last_period, _DEFAULT_PERIOD)
        errors = choice_errors(
            (_("action"), values["action"], Action.values),
            (_("kind"), values["kind"], KINDS),
            (_("period"), query.get("period", ""), PERIODS_BY_KEY),
        )
        before = None
        if text := query.get("before"):
            try:
                before = Position.from_text(text)
            except ValueError:
                errors.append(_("The address of the page is incomplete. Open the list again."))
        action = values["action"] if values["action"] in Action.values else ""
        kind = values["kind"] if values["kind"] in KINDS else ""
        if values["object"] and not values["kind"]:
            errors.append(_("Choose the kind of the object as well."))
        errors += custom_period_errors(values)
        return cls(values["user"], action, kind, values["object"], period, before, errors)

    def filters(self, now: datetime) -> Filters | None:
        """The filters of the trail; None if nothing can match. At most two queries."""
        user_id = None
        if self.user:
            name = self.user.replace("\x00", "")
            user_id = User.objects.filter(username=name).values_list("pk", flat=True).first()
            if user_id is None:
                self.errors.append(_("User “%(name)s” not found.") % {"name": self.user[:150]})
        if self.errors:
            return None
        kind = KINDS.get(self.kind)
        return Filters(
            user_id=user_id,
            action=Action(self.action) if self.action else None,
            kind=kind,
            object_ids=kind.find(self.object) if kind and self.object else None,
            since=self.period.cutoff(now),
            until=self.period.until,
        )

    @property
    def is_filtered(self) -> bool:
        return bool(self.user or self.action or self.kind or self.object)

    @property
    def since_text(self) -> str:
        return _field_text(self.period.since)

    @property
    def until_text(self) -> str:
        return _field_text(self.period.until)

    def parameters(self) -> dict[str, str]:
        """The parameters without the position."""
        return {
            "user": self.user,
            "action": self.action,
            "kind": self.kind,
            "object": self.object,
            # Also the default one: another one may be remembered.
            "period": self.period.key if self.period.key in PERIODS_BY_KEY else "",
            "from": self.since_text,
            "to": self.until_text,
        }

    def link(self, **change: Any) -> str:
        """Query string with these parameters changed; empty ones are left out."""
        query = self.parameters() | change
        return "?" + urlencode({name: value for name, value in query.items() if value})


def _field_text(moment: datetime | None) -> str:
    """Value for a datetime-local field."""
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M") if moment else ""
