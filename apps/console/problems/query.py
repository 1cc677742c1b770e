"""Query of the list of problems: filters in the URL, each with a message if its value is invalid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import Case, IntegerField, Q, Value, When
from django.utils.translation import gettext as _

from apps.alerts.models import Problem
from apps.alerts.models.problem import ProblemQuerySet
from apps.console.ui.filters import PERIODS, Period, choice_errors
from apps.services.models import Service

# Values of the parameter `assignee` beside user names; no user name contains these characters.
ME = "~me"
NOBODY = "~nobody"
DEFAULT_PERIOD = PERIODS[-1]
_PERIODS_BY_KEY = {period.key: period for period in PERIODS}
_STATE_ORDER = Case(
    *(When(state=state, then=Value(order)) for order, state in enumerate(Problem.State)),
    output_field=IntegerField(),
)


@dataclass(frozen=True)
class ProblemQuery:
    """Filters of problems; the errors say which values are invalid, and then no problem matches."""

    service: str
    state: str
    assignee: str
    period: Period
    # What the user may choose.
    services: tuple[Service, ...] = ()
    assignees: tuple[User, ...] = ()
    errors: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, str], user: Any) -> ProblemQuery:
        services = tuple(Service.objects.visible_to(user).order_by("name").only("name", "slug"))
        assigned = Problem.objects.visible_to(user).exclude(assignee=None).values("assignee")
        users = tuple(User.objects.filter(pk__in=assigned).order_by("username"))
        names = {ME, NOBODY, *(each.get_username() for each in users)}
        service, state, assignee, period = (
            query.get(name, "") for name in ("service", "state", "assignee", "period")
        )
        slugs = {each.slug for each in services}
        errors = choice_errors(
            (_("state"), state, Problem.State.values), (_("period"), period, _PERIODS_BY_KEY)
        )
        if service and service not in slugs:
            errors.append(_("Service “%(slug)s” not found.") % {"slug": service[:100]})
        if assignee and assignee not in names:
            errors.append(
                _("No problem is assigned to “%(name)s”. Choose another assignee.") % {"name": assignee[:150]}
            )
        return cls(
            service=service if service in slugs else "",
            state=state if state in Problem.State.values else "",
            assignee=assignee if assignee in names else "",
            period=_PERIODS_BY_KEY.get(period, DEFAULT_PERIOD),
            services=services,
            assignees=users,
            errors=tuple(errors),
        )

    @property
    def is_filtered(self) -> bool:
        return bool(self.service or self.state or self.assignee) or self.period != DEFAULT_PERIOD

    def problems(self, user: Any, now: datetime) -> ProblemQuerySet:
        """The matching problems: open ones first, then by their last occurrence."""
        if self.errors:
            return Problem.objects.none()
        problems = Problem.objects.visible_to(user).select_related("service", "assignee")
        if self.service:
            chosen = [service.pk for service in self.services if service.slug == self.service]
            problems = problems.filter(service__in=chosen)
        if self.state:
            problems = problems.filter(state=self.state)
        if self.assignee:
            problems = problems.filter(self._is_assigned(user))
        if (cutoff := self.period.cutoff(now)) is not None:
            problems = problems.seen_since(cutoff)
        return problems.order_by(*(() if self.state else (_STATE_ORDER,)), "-last_seen_at", "-pk")

    def _is_assigned(self, user: Any) -> Q:
        if self.assignee == NOBODY:
            return Q(assignee=None)
        return Q(assignee=user.pk) if self.assignee == ME else Q(assignee__username=self.assignee)

    def parameters(self) -> dict[str, str]:
        period = "" if self.period == DEFAULT_PERIOD else self.period.key
        return {"service": self.service, "state": self.state, "assignee": self.assignee, "period": period}

    def link(self, **change: str) -> str:
        """Query string with these parameters changed; defaults are left out."""
        query = self.parameters() | change
        return "?" + urlencode({name: value for name, value in query.items() if value})
