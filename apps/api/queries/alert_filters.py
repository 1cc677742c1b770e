"""Filters of the lists of problems, incidents and deliveries."""

from __future__ import annotations

from typing import Any

import django_filters
from django.utils.translation import gettext_lazy as _
from django_filters.rest_framework import FilterSet

from apps.alerts.models import Delivery, Incident, Problem
from apps.api.queries.filters import MultipleChoiceFilter, SingleChoiceFilter
from apps.api.serializers.incidents import STATES


class ProblemFilter(FilterSet):  # type: ignore[misc]
    """Filters of problems by service and state."""

    service = django_filters.CharFilter(field_name="service__slug", help_text=_("Slug of a service."))
    state = MultipleChoiceFilter(Problem.State.choices)

    class Meta:
        model = Problem
        fields: list[str] = []


class IncidentFilter(FilterSet):  # type: ignore[misc]
    """Filters of incidents by service, kind and state."""

    service = django_filters.CharFilter(field_name="service__slug", help_text=_("Slug of a service."))
    kind = MultipleChoiceFilter(Incident.Kind.choices)
    state = SingleChoiceFilter(
        choices=STATES, method="filter_state", help_text=_("Open or closed; default: both.")
    )

    class Meta:
        model = Incident
        fields: list[str] = []

    def filter_state(self, incidents: Any, _name: str, state: str) -> Any:
        return incidents.filter(closed_at__isnull=state == "open")


class DeliveryFilter(FilterSet):  # type: ignore[misc]
    """Filters of deliveries by channel and status."""

    channel = django_filters.CharFilter(field_name="channel_name", help_text=_("Name of a channel."))
    status = MultipleChoiceFilter(Delivery.Status.choices)

    class Meta:
        model = Delivery
        fields: list[str] = []
