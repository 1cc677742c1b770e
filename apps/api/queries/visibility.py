"""Visibility: the querysets that all views start from, so that invisible rows are not found (404)."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.request import Request

from apps.alerts.models import Delivery, Incident, Problem
from apps.api.models import ApiToken
from apps.runs.models import Payload, Run
from apps.services.models import Service


def visible_services(request: Request) -> QuerySet[Service]:
    """Services that the user of the token may see, within the limits of the token."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Service.objects.none()
    services = Service.objects.visible_to(token.user)
    return services.filter(pk__in=token.services.values("pk")) if token.is_limited else services


def visible_runs(request: Request) -> QuerySet[Run]:
    """Runs of the visible services, for a lookup by primary key."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Run.objects.none()
    runs = Run.objects.visible_to(token.user)
    return runs.filter(service__in=token.services.values("pk")) if token.is_limited else runs


def listed_runs(request: Request) -> QuerySet[Run]:
    """Runs of the visible services, for lists.

    Names each service, so that the planner knows how many runs they have. With a subquery it would read the runs of
    all other services as well.
    """
    token = request.auth
    if not isinstance(token, ApiToken) or (token.user.is_superuser and not token.is_limited):
        return visible_runs(request)
    return Run.objects.filter(service__in=list(visible_services(request).values_list("pk", flat=True)))


def visible_problems(request: Request) -> QuerySet[Problem]:
    """Problems of the visible services."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Problem.objects.none()
    services = visible_services(request)
    return Problem.objects.filter(service__in=services) if services.query.where else Problem.objects.all()


def visible_incidents(request: Request) -> QuerySet[Incident]:
    """Incidents of the visible services, and those of the system unless the token is limited to services."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Incident.objects.none()
    incidents = Incident.objects.visible_to(token.user)
    return incidents.filter(service__in=token.services.values("pk")) if token.is_limited else incidents


def visible_payloads(request: Request) -> QuerySet[Payload]:
    """Payloads of the visible services, with their `state` by the clock of the database."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Payload.objects.none()
    payloads = Payload.objects.visible_to(token.user).listed().with_state()
    if not token.is_limited:
        return payloads
    # Names each service, as in `listed_runs`.
    return payloads.filter(service__in=list(token.services.values_list("pk", flat=True)))


def visible_deliveries(request: Request) -> QuerySet[Delivery]:
    """Deliveries about the visible services, and of tests."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Delivery.objects.none()
    if not token.is_limited:
        return Delivery.objects.visible_to(token.user)
    incidents = Incident.objects.visible_to(token.user).filter(service__in=token.services.values("pk"))
    return Delivery.objects.about(incidents)
