"""Retention period: how long ago a run must have ended for its log or its records to be deleted."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from apps.services.models import Service


def ended_before(retention: timedelta, field: str) -> Q:
    """Runs that ended longer ago than the days in `field` of their service, or than `retention` if it is empty.

    By the clock of the database at the time of the query.
    """
    own = Service.objects.exclude(**{field: None}).values_list(field, flat=True).distinct()
    old = Q(**{f"service__{field}": None}, finished_at__lt=Now() - retention)
    for days in sorted(own):
        old |= Q(**{f"service__{field}": days}, finished_at__lt=Now() - timedelta(days=days))
    return old
