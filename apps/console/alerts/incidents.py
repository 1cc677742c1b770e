"""Incident list, and one incident with the messages about it; read-only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.alerts.models import Incident, Notice
from apps.console.ui.badges import icon
from apps.console.ui.filters import ListFilter
from apps.console.ui.formatting import moment_html
from apps.console.ui.paging import CappedPaginator


def incident_badge(incident: Incident) -> SafeString:
    """The state of an incident as word, shape and colour."""
    if not incident.is_open:
        return format_html(
            '<span class="badge badge-succeeded">{}{}</span>', icon("check"), gettext("Closed")
        )
    if incident.is_unstable:
        return format_html('<span class="badge badge-lost">{}{}</span>', icon("warning"), gettext("Unstable"))
    return format_html('<span class="badge badge-failed">{}{}</span>', icon("cross"), gettext("Open"))


class StateFilter(ListFilter):
    """Filter by whether an incident is open."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, Any]]:
        yield from (("open", _("Open")), ("closed", _("Closed")))

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(closed_at__isnull=self.value() == "open")


class NoticeInline(admin.TabularInline):  # type: ignore[type-arg] # It takes no parameter at run time.
    """The messages about the incident, in their order."""

    model = Notice
    verbose_name_plural = _("Messages")
    fields = readonly_fields = ("kind", "channel", "created", "held", "sent")
    ordering = ("pk",)
    can_delete = False
    extra = max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        return super().get_queryset(request).select_related("channel")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Users who may see the incident may see who was notified."""
        return request.user.has_perm("alerts.view_incident")

    @admin.display(description=_("created"))
    def created(self, notice: Notice) -> SafeString:
        return moment_html(notice.created_at, timezone.now())

    @admin.display(description=_("held back until"))
    def held(self, notice: Notice) -> SafeString:
        return moment_html(notice.held_until, timezone.now())

    @admin.display(description=_("sent"))
    def sent(self, notice: Notice) -> SafeString:
        return moment_html(notice.sent_at, timezone.now())


class IncidentAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # The same.
    """Incidents are opened and closed by events."""

    list_display = ("name", "service_name", "state", "since_moment", "opened", "closed", "further_run_count")
    is_stacking = True
    list_filter = (StateFilter, "kind")
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = ("service__name", "service__slug", "detail")
    search_help_text = _("Service or reason")
    sortable_by = ("opened",)
    fields = readonly_fields = (
        *("name", "service_name", "state", "reason_text", "page"),
        *("since_moment", "opened", "last_event", "closed", "further_run_count", "reminded"),
    )
    ordering = ("-opened_at", "-pk")
    inlines = (NoticeInline,)
    actions = None
    csv_name = "incidents"
    csv_columns = (
        ("id", "id"),
        ("event", "kind"),
        ("subject", "subject"),
        ("service", "service__slug"),
        ("since (UTC)", "since"),
        ("opened at (UTC)", "opened_at"),
        ("closed at (UTC)", "closed_at"),
        ("further runs", "further_run_count"),
        ("reason", "detail"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        return Incident.objects.visible_to(request.user).select_related("service")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Incident | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Incident | None = None) -> bool:
        return False

    @admin.display(description=_("event"))
    def name(self, incident: Incident) -> str:
        return str(incident)

    @admin.display(description=_("service"))
    def service_name(self, incident: Incident) -> str:
        return incident.service.name if incident.service else "Synclog"

    @admin.display(description=_("status"))
    def state(self, incident: Incident) -> SafeString:
        return incident_badge(incident)

    @admin.display(description=_("reason"))
    def reason_text(self, incident: Incident) -> str:
        return str(incident.reason)

    @admin.display(description=_("page"))
    def page(self, incident: Incident) -> SafeString | str:
        """Link to the run that opened it, or to the page of the problem."""
        if incident.url:
            return format_html('<a href="{}">{}</a>', incident.url, gettext("Show"))
        if incident.service_id is None:
            return "–"
        url = reverse("admin:services_service_runs", args=[incident.service_id])
        return format_html('<a href="{}">{}</a>', url, gettext("Show runs"))

    @admin.display(description=_("since"))
    def since_moment(self, incident: Incident) -> SafeString:
        return moment_html(incident.since, timezone.now())

    @admin.display(description=_("opened"), ordering="opened_at")
    def opened(self, incident: Incident) -> SafeString:
        return moment_html(incident.opened_at, timezone.now())

    @admin.display(description=_("closed"))
    def closed(self, incident: Incident) -> SafeString:
        return moment_html(incident.closed_at, timezone.now())

    @admin.display(description=_("last event"))
    def last_event(self, incident: Incident) -> SafeString:
        return moment_html(incident.last_event_at, timezone.now())

    @admin.display(description=_("last reminder"))
    def reminded(self, incident: Incident) -> SafeString:
        return moment_html(incident.reminded_at, timezone.now())
