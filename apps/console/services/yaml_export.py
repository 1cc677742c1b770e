"""Export as YAML: downloads of one service and of all services."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from apps.audit.models import Action
from apps.audit.recording import record_event
from apps.services.definition.export import export_services
from apps.services.models import Service


def may_export(user: Any) -> bool:
    """Whether the user may see both services and their connections."""
    return bool(user.has_perm("services.view_service") and user.has_perm("services.view_connection"))


def yaml_export(request: HttpRequest, service: Service | None = None) -> HttpResponse:
    """The YAML file of `service`, or of all services that the user may see."""
    if not may_export(request.user):
        raise PermissionDenied
    services = Service.objects.visible_to(request.user)
    if service is not None:
        services = services.filter(pk=service.pk)
    record_event(
        Action.EXPORTED,
        user=request.user,
        address=request.META.get("REMOTE_ADDR"),
        subject=service or Service(),
        name=str(service or _("All services")),
    )
    name = service.slug if service else "services"
    return HttpResponse(
        export_services(services),
        content_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.yaml"'},
    )
