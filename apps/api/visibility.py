"""Visibility: every view starts from these querysets, so that invisible rows are not found (404)."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.request import Request

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
    """Runs of the visible services."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Run.objects.none()
    runs = Run.objects.visible_to(token.user)
    return runs.filter(service__in=token.services.values("pk")) if token.is_limited else runs


def listed_runs(request: Request) -> QuerySet[Run]:
    """The same for lists: the services are listed one by one, so that the planner knows whether their runs are
    rare.

    Otherwise it would walk through the runs of all other services.
    """
    token = request.auth
    if not isinstance(token, ApiToken) or (token.user.is_superuser and not token.is_limited):
        return visible_runs(request)
    return Run.objects.filter(service__in=list(visible_services(request).values_list("pk", flat=True)))


def visible_payloads(request: Request) -> QuerySet[Payload]:
    """Payloads of the visible services, with their `state` by the clock of the database."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Payload.objects.none()
    payloads = Payload.objects.visible_to(token.user).listed().with_state()
    if not token.is_limited:
        return payloads
    # One by one, see PayloadQuerySet.visible_to.
    return payloads.filter(service__in=list(token.services.values_list("pk", flat=True)))
