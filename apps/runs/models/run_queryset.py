"""Queries of runs by state, by time and by user."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from apps.services.models import Service
from apps.services.user_access import hidden_service_ids

if TYPE_CHECKING:
    # The model imports this module.
    from apps.runs.models.run import Run  # noqa: F401 - the type argument below is a string

# Runs that no person started: scheduled runs, and retries that wait for their time.
IS_AUTOMATIC = Q(trigger="schedule") | Q(trigger="retry", due_at__isnull=False)


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: Any) -> Self:
        """Runs of the services that `user` may see."""
        if user.is_active and user.is_superuser:
            # No condition: it would lead the planner away from the indexes.
            return self
        if not user.is_active or not user.has_perm("services.view_service"):
            return self.none()
        hidden = hidden_service_ids(user)
        return self.exclude(service__in=hidden) if hidden else self

    def open(self) -> Self:
        """Queued or running."""
        return self.filter(status__in=self.model.OPEN)

    def running(self) -> Self:
        return self.filter(status=self.model.Status.RUNNING)

    def started_since(self, cutoff: datetime) -> Self:
        """Started at or after `cutoff`; queued runs count by the time they were queued."""
        return self.filter(Q(started_at__gte=cutoff) | Q(started_at=None, queued_at__gte=cutoff))

    def lost(self) -> Self:
        """Running runs whose lease has expired by the clock of the database."""
        return self.running().filter(lease_until__lt=Now())

    def claimable(self) -> Self:
        """Queued and due, without an open run of the service that they must wait for."""
        others = self.model.objects.running().filter(service=OuterRef("service"))
        return self.filter(Q(due_at=None) | Q(due_at__lte=Now()), status=self.model.Status.QUEUED).exclude(
            IS_AUTOMATIC & ~Q(service__overlap=Service.Overlap.ALLOW) & Exists(others)
        )

    def unclaimed(self) -> Self:
        """Not claimed within a minute after being sent to the broker: the message may be lost."""
        return self.claimable().filter(sent_at__lt=Now() - timedelta(seconds=60))

    def newly_claimable(self) -> Self:
        """Sent to the broker before they could be claimed: they became due, or the run before them ended."""
        ended_since = self.model.objects.filter(
            service=OuterRef("service"), finished_at__gte=OuterRef("sent_at")
        )
        return self.claimable().filter(IS_AUTOMATIC, Q(due_at__gt=F("sent_at")) | Exists(ended_since))
