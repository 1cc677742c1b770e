"""Open incidents, for the pages that point to them."""

from __future__ import annotations

from typing import Any

from apps.alerts.models import Incident
from apps.alerts.models.incident import IncidentQuerySet


def open_incidents(user: Any) -> IncidentQuerySet:
    """Open incidents that the user may see, the oldest first."""
    incidents = Incident.objects.open().order_by("opened_at", "pk")
    return incidents.visible_to(user) if user.has_perm("alerts.view_incident") else incidents.none()
