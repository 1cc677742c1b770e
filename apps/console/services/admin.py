"""Services list, and the URLs of one service."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from apps.audit.changes import field_values
from apps.audit.recording import record_change
from apps.console.run_service.page import run_page
from apps.console.services.row_menu import service_menu
from apps.console.services.yaml_export import yaml_export
from apps.console.settings.script_versions import restore_version, script_versions_page
from apps.console.settings.service_page import ServiceSettings
from apps.console.summary.page import summary_csv, summary_feed, summary_page
from apps.console.ui.badges import (
    active_badge,
    active_switch,
    flow_html,
    never_badge,
    next_run_html,
    status_badge,
)
from apps.console.ui.filters import ActiveFilter, ConnectionFilter, LastRunFilter
from apps.console.ui.formatting import moment_html, warnings_text
from apps.console.ui.links import row_url
from apps.console.ui.menus import MenuItem, RowMenus, menu_heading
from apps.console.ui.run_history import recent_runs, run_history_html
from apps.runs.models import Run
from apps.services.models import Service


class ServiceList(ChangeList):
    """Change list whose services carry their recent runs: one query for the whole page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        services: Any = list(self.result_list)
        recent = recent_runs([service.pk for service in services])
        for service in services:
            service.recent_runs = recent[service.pk]
        self.result_list = services


class ServiceAdmin(ServiceSettings):
    """Every service, active or not, with its last and next run."""

    list_display = ("name_and_slug", "flow", "last_run", "last_runs", "next_run")
    list_display_links = None
    # On a phone each row becomes a card.
    is_stacking = True
    list_filter = (LastRunFilter, ActiveFilter, ConnectionFilter)
    list_select_related = ("source_connection", "destination_connection")
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = (
        "name",
        "slug",
        "id__exact",
        "source_connection__name",
        "destination_connection__name",
    )
    search_help_text = gettext_lazy("Name, slug, number or connection")
    ordering = ("name",)
    actions = None
    csv_name = "services"
    csv_columns = (
        ("name", "name"),
        ("slug", "slug"),
        ("kind", "kind"),
        ("source connection", "source_connection__name"),
        ("destination connection", "destination_connection__name"),
        ("schedule", "schedule"),
        ("time zone", "timezone"),
        ("schedule is on", "is_active"),
        ("next run at (UTC)", "next_run_at"),
        ("last run", "last_run_id"),
        ("status of the last run", "last_status"),
        ("last run started at (UTC)", "last_started_at"),
    )

    # --- List ---

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """The columns, and a menu of the actions that the user may take."""

        @admin.display(description=menu_heading())
        def menu(service: Service) -> SafeString:
            def items(number: int) -> list[MenuItem]:
                alike = Service(pk=number, kind=service.kind, is_active=service.is_active)
                return service_menu(request, alike)

            return menus.html(service.pk, service.name, (service.kind, service.is_active), items)

        @admin.display(description=gettext_lazy("schedule"), ordering="is_active")
        def active(service: Service) -> SafeString:
            if not may_change:
                return active_badge(service)
            state = "off" if service.is_active else "on"
            return active_switch(service, row_url("admin:services_service_schedule", service.pk, state))

        menus = RowMenus("service")
        may_change = request.user.has_perm("services.change_service")
        return (*self.list_display, active, menu)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ServiceList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        """Services that the user may see, each with its last run, found by `run_service_latest`."""
        latest = Run.objects.filter(service=OuterRef("pk")).order_by("-id")
        last_run = Run.objects.filter(pk=OuterRef("last_run_id"))
        return (
            Service.objects.visible_to(request.user)
            .annotate(last_run_id=Subquery(latest.values("id")[:1]))
            .annotate(
                last_status=Subquery(last_run.values("status")),
                last_started_at=Subquery(last_run.values("started_at")),
            )
        )

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def name_and_slug(self, service: Service) -> SafeString:
        return format_html(
            '<a class="row-name" href="{}">{}</a><span class="subtext">{}</span>',
            row_url("admin:services_service_runs", service.pk),
            service.name,
            service.slug,
        )

    @admin.display(description=gettext_lazy("flow"))
    def flow(self, service: Service) -> SafeString:
        return flow_html(service)

    @admin.display(description=gettext_lazy("last run"), ordering="last_started_at")
    def last_run(self, service: Any) -> SafeString:
        if not service.recent_runs:
            return never_badge()
        run = service.recent_runs[-1]
        warnings = ""
        if run.warning_count:
            warnings = format_html(
                ' · <span class="has-warnings">{}</span>', warnings_text(run.warning_count)
            )
        return format_html(
            '<a href="{}">{}</a><span class="subtext">{}{}</span>',
            row_url("admin:runs_run_log", run.number),
            status_badge(run.status),
            moment_html(run.at, timezone.now()),
            warnings,
        )

    @admin.display(description=gettext_lazy("last 20 runs"))
    def last_runs(self, service: Any) -> SafeString:
        return run_history_html(service.recent_runs)

    @admin.display(description=gettext_lazy("next run"), ordering="next_run_at")
    def next_run(self, service: Service) -> SafeString:
        return next_run_html(service, timezone.now())

    # --- One service ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:service_id>/runs/", view(self.runs_view), name="services_service_runs"),
            path(
                "<int:service_id>/runs/feed/",
                view(require_safe(self.runs_feed_view)),
                name="services_service_runs_feed",
            ),
            path(
                "<int:service_id>/export/",
                view(require_safe(self.export_view)),
                name="services_service_export",
            ),
            path("export/", view(require_safe(yaml_export)), name="services_service_export_all"),
            path(
                "<int:service_id>/runs/csv/",
                view(require_safe(self.runs_csv_view)),
                name="services_service_runs_csv",
            ),
            path("<int:service_id>/run/", view(self.run_view), name="services_service_run"),
            path(
                "<int:service_id>/scripts/",
                view(require_safe(self.script_versions_view)),
                name="services_service_scripts",
            ),
            path(
                "<int:service_id>/scripts/<int:version>/restore/",
                view(require_POST(self.restore_script_view)),
                name="services_service_script_restore",
            ),
            path(
                "<int:service_id>/schedule/<str:state>/",
                view(require_POST(self.schedule_view)),
                name="services_service_schedule",
            ),
            *super().get_urls(),
        ]

    def runs_view(self, request: HttpRequest, service_id: int) -> HttpResponse:
        """View logs: the summary of one service."""
        return summary_page(request, self.admin_site, self._visible(request, service_id))

    def runs_feed_view(self, request: HttpRequest, service_id: int) -> HttpResponse:
        """Rows of running runs, which the summary refreshes."""
        return summary_feed(request, self._visible(request, service_id))

    def runs_csv_view(self, request: HttpRequest, service_id: int) -> HttpResponse:
        """The runs of the summary as CSV."""
        return summary_csv(request, self._visible(request, service_id))  # type: ignore[return-value] # It streams.

    def run_view(self, request: HttpRequest, service_id: int) -> HttpResponse:
        """Run service: the page from which a person starts a run."""
        service = self._visible(request, service_id)
        if not request.user.has_perm("runs.start_run"):
            raise PermissionDenied
        if service.is_reported:
            raise Http404(_("The service runs elsewhere; start it there."))
        return run_page(request, self.admin_site, service)

    def export_view(self, request: HttpRequest, service_id: int) -> HttpResponse:
        """Export as YAML."""
        return yaml_export(request, self._visible(request, service_id))

    def script_versions_view(self, request: HttpRequest, service_id: int) -> HttpResponse:
        """Script versions: the list, and the comparison of two."""
        service = self._visible(request, service_id)
        may_restore = self.has_change_permission(request, service)
        return script_versions_page(request, self.admin_site, service, may_restore=may_restore)

    def restore_script_view(self, request: HttpRequest, service_id: int, version: int) -> HttpResponse:
        """Restore an earlier version of the script."""
        service = self._visible(request, service_id)
        if not self.has_change_permission(request, service):
            raise PermissionDenied
        return restore_version(request, service, version)

    def schedule_view(self, request: HttpRequest, service_id: int, state: str) -> HttpResponse:
        """Turn the schedule on or off."""
        service = self._visible(request, service_id)
        if state not in {"on", "off"}:
            raise Http404
        if not self.has_change_permission(request, service):
            raise PermissionDenied
        with transaction.atomic():
            before = field_values(service)
            service.set_active(state == "on", timezone.now())
            record_change(request.user, service, before)
        message = (
            _("The schedule of %(name)s is on.") if state == "on" else _("The schedule of %(name)s is off.")
        )
        messages.success(request, message % {"name": service.name})
        return HttpResponseRedirect(_page_before(request))

    def has_delete_permission(self, request: HttpRequest, obj: Service | None = None) -> bool:
        """A service with runs is never deleted, only turned off."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not obj.runs.exists())

    def _visible(self, request: HttpRequest, service_id: int) -> Service:
        if not self.has_view_permission(request):
            raise PermissionDenied
        services = Service.objects.visible_to(request.user)
        service = services.select_related(*self.list_select_related).filter(pk=service_id).first()
        if service is None:
            raise Http404(_("Service not found."))
        return service


def _page_before(request: HttpRequest) -> str:
    """The page that the form was sent from, with search and filters; otherwise the list."""
    referer = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(referer, {request.get_host()}, require_https=request.is_secure()):
        return referer
    return reverse("admin:services_service_changelist")
