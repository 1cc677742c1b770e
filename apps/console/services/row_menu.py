"""The ⋮ menu of a service."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.services.yaml_export import may_export
from apps.console.settings.service_copy import duplicate_url
from apps.console.ui.menus import MenuItem
from apps.services.models import Service


def service_menu(request: HttpRequest, service: Service) -> list[MenuItem]:
    """Items of the ⋮ menu of a service that the user may use."""
    items = [MenuItem(_("View logs"), reverse("admin:services_service_runs", args=[service.pk]), "logs")]
    if request.user.has_perm("runs.start_run") and not service.is_reported:
        run = reverse("admin:services_service_run", args=[service.pk])
        items.append(MenuItem(_("Run service"), run, "play"))
    settings = reverse("admin:services_service_change", args=[service.pk])
    items.append(MenuItem(_("Settings"), settings, "settings"))
    if request.user.has_perm("services.add_service"):
        items.append(MenuItem(_("Duplicate"), duplicate_url(service), "copy"))
    if may_export(request.user):
        export = reverse("admin:services_service_export", args=[service.pk])
        items.append(MenuItem(_("Export as YAML"), export, "download"))
    if request.user.has_perm("services.change_service"):
        state, label = ("off", _("Turn schedule off")) if service.is_active else ("on", _("Turn schedule on"))
        url = reverse("admin:services_service_schedule", args=[service.pk, state])
        items.append(MenuItem(label, url, "pause" if service.is_active else "clock", does="post"))
    return items
