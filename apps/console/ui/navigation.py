"""Sidebar: links to all pages, grouped by task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    # For annotations only.
    from django.contrib.admin import AdminSite

# Icons of models with a fixed place; all others are under "More".
_OPERATIONS = {
    "services.service": "services",
    "runs.run": "runs",
    "runs.payload": "file",
    "alerts.incident": "incident",
    "services.connection": "connections",
}
_SHORTCUTS = {"services.service": "s"}
_ALERTS = {
    "alerts.rule": "settings",
    "alerts.channel": "channel",
    "alerts.delivery": "mail",
    "alerts.maintenancewindow": "maintenance",
}
_ACCESS = {"api.apitoken": "key", "auth.user": "user", "auth.group": "users"}


@dataclass(frozen=True)
class NavigationItem:
    label: str
    url: str
    icon: str
    is_current: bool
    # Letter that opens the page after "g".
    shortcut: str = ""


@dataclass(frozen=True)
class NavigationGroup:
    caption: str
    items: tuple[NavigationItem, ...]


def navigation(site: AdminSite, request: HttpRequest) -> list[NavigationGroup]:
    """Groups with at least one item that the user may see."""
    visible: dict[str, Any] = {
        model._meta.label_lower: model
        for model, model_admin in site._registry.items()
        if model_admin.has_view_permission(request)
    }
    home = reverse("admin:index")
    at_home = NavigationItem(_("Home"), home, "home", is_current=request.path == home)
    reference = NavigationItem(_("API reference"), reverse("api:docs"), "link", is_current=False)
    help_page = reverse("admin:help")
    handbook = NavigationItem(_("Help"), help_page, "help", request.path.startswith(help_page))
    operations = [at_home, *_items(_OPERATIONS, visible, request)]
    if request.user.has_perm("services.view_service"):
        records = reverse("admin:records")
        item = NavigationItem(_("Records"), records, "records", request.path.startswith(records), "r")
        # After the runs.
        operations.insert(3, item)
    if request.user.has_perms(("services.view_service", "runs.view_run")):
        problems = reverse("admin:problems")
        item = NavigationItem(_("Problems"), problems, "warning", request.path.startswith(problems))
        # After the records.
        operations.insert(4, item)
    access = list(_items(_ACCESS, visible, request))
    if request.user.has_perm("audit.view_auditevent"):
        audit = reverse("admin:audit")
        access.append(NavigationItem(_("Audit log"), audit, "audit", request.path.startswith(audit)))
    others = dict.fromkeys(sorted(set(visible) - set(_OPERATIONS) - set(_ALERTS) - set(_ACCESS)), "file")
    groups = [
        NavigationGroup(_("Operations"), tuple(operations)),
        NavigationGroup(_("Alerts"), _items(_ALERTS, visible, request)),
        NavigationGroup(_("Access"), tuple(access)),
        NavigationGroup(_("More"), (*_items(others, visible, request), reference, handbook)),
    ]
    return [group for group in groups if group.items]


def _items(
    icons: dict[str, str], visible: dict[str, Any], request: HttpRequest
) -> tuple[NavigationItem, ...]:
    items = []
    for label, name in icons.items():
        if label in visible:
            options = visible[label]._meta
            url = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
            label = str(options.verbose_name_plural)
            items.append(
                NavigationItem(
                    label[:1].upper() + label[1:],
                    url,
                    name,
                    request.path.startswith(url),
                    _SHORTCUTS.get(options.label_lower, ""),
                )
            )
    return tuple(items)
