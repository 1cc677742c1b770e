"""Who sees what: every route starts from these, so what is not visible is not there (404)."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.request import Request

from apps.api.models import ApiToken
from apps.runs.models import Payload, Run
from apps.services.models import Service


def visible_services(request: Request) -> QuerySet[Service]:
    """The services that the token's user may know of, less those that the token is not for."""
    token = request.auth
    if not isinstance(token, ApiToken):
        return Service.objects.none()
    services = Service.objects.visible_to(token.user)
    return services.filter(pk__in=token.services.values("pk")) if token.is_limited else services


def visible_runs(request: Request) -> QuerySet[Run]:
    """The runs of the visible services, with what their description names."""
    return Run.objects.filter(service__in=visible_services(request)).select_related("service", "started_by")


def visible_payloads(request: Request) -> QuerySet[Payload]:
    """The payloads of the visible services' runs, with their `state` by the database's clock."""
    runs = Run.objects.filter(service__in=visible_services(request))
    return Payload.objects.listed().with_state().filter(run__in=runs)
