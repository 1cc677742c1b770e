"""Payload list over all runs, and the access log of each payload."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from apps.console.payloads.links import payload_state
from apps.console.ui.formatting import moment_html, size_text
from apps.console.ui.paging import CappedPaginator
from apps.console.ui.sorting import IndexedChangeList
from apps.runs.models import Payload, PayloadRead


class ReaderInline(admin.TabularInline):  # type: ignore[type-arg] # It takes no parameter at run time.
    """Access log of the payload, latest first."""

    model = PayloadRead
    template = "console/payload_access_log.html"
    verbose_name_plural = gettext_lazy("Access log")
    fields = readonly_fields = ("read_at", "user", "token", "address", "outcome", "byte_count")
    ordering = ("-read_at",)
    can_delete = False
    extra = max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[PayloadRead]:
        return super().get_queryset(request).select_related("user")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Users who may see the page of the payload may see its access log."""
        return request.user.has_perm("runs.view_payload")


class PayloadAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # The same.
    """Read-only: payloads are written by runs and deleted when they expire."""

    list_display = ("name", "kind", "run_link", "service_name", "size_label", "created", "state_label")
    # On a phone each row becomes a card.
    is_stacking = True
    list_filter = ("kind", "status")
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = ("id__exact", "run__id__exact", "sha256__exact")
    search_help_text = gettext_lazy("Id, run number or SHA-256")
    # Columns with an index.
    sortable_by = ("run_link", "created")
    fields = readonly_fields = (
        *("name", "kind", "run_link", "state_label", "content_type", "size_label", "sha256"),
        *("created_at", "expires_at", "deleted_at", "delete_attempts", "delete_error"),
    )
    ordering = ("-run_id", "sequence")
    inlines = (ReaderInline,)
    actions = None
    csv_name = "payloads"
    csv_columns = (
        ("id", "id"),
        ("run", "run_id"),
        ("service", "run__service__slug"),
        ("log line", "sequence"),
        ("kind", "kind"),
        ("name", "name"),
        ("content type", "content_type"),
        ("size (bytes)", "size"),
        ("SHA-256", "sha256"),
        ("status", "state"),
        ("created at (UTC)", "created_at"),
        ("expires at (UTC)", "expires_at"),
        ("deleted at (UTC)", "deleted_at"),
    )

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return IndexedChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payload]:
        return Payload.objects.visible_to(request.user).listed().with_state().select_related("run__service")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Payload | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Payload | None = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("run"), ordering="run_id")
    def run_link(self, payload: Payload) -> SafeString:
        url = reverse("admin:runs_run_log", args=[payload.run_id])
        line = f"?line={payload.sequence}#L{payload.sequence}" if payload.sequence else ""
        return format_html('<a href="{}{}">{}</a>', url, line, payload.run)

    @admin.display(description=gettext_lazy("service"))
    def service_name(self, payload: Payload) -> str:
        return payload.run.service.name

    @admin.display(description=gettext_lazy("size"))
    def size_label(self, payload: Payload) -> str:
        return size_text(payload.size)

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, payload: Payload) -> SafeString:
        return moment_html(payload.created_at, timezone.now())

    @admin.display(description=gettext_lazy("status"))
    def state_label(self, payload: Payload) -> str:
        return payload_state(payload, timezone.now())[1]
