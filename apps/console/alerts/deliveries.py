"""Delivery list, and one delivery with its attempts; read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import RelatedFieldListFilter, ShowFacets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.alerts.models import Delivery, DeliveryAttempt
from apps.console.ui.badges import icon
from apps.console.ui.formatting import moment_html
from apps.console.ui.paging import CappedPaginator

_BADGES = {
    Delivery.Status.PENDING: ("running", "clock"),
    Delivery.Status.SENT: ("succeeded", "check"),
    Delivery.Status.FAILED: ("failed", "cross"),
    Delivery.Status.SUPPRESSED: ("lost", "slash"),
}


class ChannelFilter(RelatedFieldListFilter):
    """The channels, and the deliveries whose channel is deleted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.empty_value_display = SafeString(gettext("Deleted"))


class AttemptInline(admin.TabularInline):  # type: ignore[type-arg] # It takes no parameter at run time.
    """The attempts, in their order."""

    model = DeliveryAttempt
    verbose_name_plural = _("Attempts")
    fields = readonly_fields = ("attempted", "error")
    ordering = ("pk",)
    can_delete = False
    extra = max_num = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Users who may see the delivery may see its attempts."""
        return request.user.has_perm("alerts.view_delivery")

    @admin.display(description=_("attempted"))
    def attempted(self, attempt: DeliveryAttempt) -> SafeString:
        return moment_html(attempt.attempted_at, timezone.now())


class DeliveryAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # The same.
    """Deliveries are written with the events that they are about."""

    list_display = ("subject", "channel_name", "state", "created", "attempt_count", "error")
    is_stacking = True
    list_filter = ("status", ("channel", ChannelFilter))
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = ("subject",)
    search_help_text = _("Subject")
    sortable_by = ("created",)
    fields = readonly_fields = (
        *("subject", "channel_name", "state", "reference", "message", "key"),
        *("created", "sent", "next_attempt", "attempt_count", "last_error"),
    )
    ordering = ("-created_at", "-id")
    inlines = (AttemptInline,)
    actions = None
    csv_name = "deliveries"
    csv_columns = (
        ("id", "id"),
        ("channel", "channel_name"),
        ("subject", "subject"),
        ("reference", "reference"),
        ("status", "status"),
        ("attempts", "attempt_count"),
        ("created at (UTC)", "created_at"),
        ("sent at (UTC)", "sent_at"),
        ("error", "last_error"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return Delivery.objects.visible_to(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    @admin.display(description=_("status"))
    def state(self, delivery: Delivery) -> SafeString:
        status = Delivery.Status(delivery.status)
        css_class, name = _BADGES[status]
        return format_html('<span class="badge badge-{}">{}{}</span>', css_class, icon(name), status.label)

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, delivery: Delivery) -> SafeString:
        return moment_html(delivery.created_at, timezone.now())

    @admin.display(description=_("sent"))
    def sent(self, delivery: Delivery) -> SafeString:
        return moment_html(delivery.sent_at, timezone.now())

    @admin.display(description=_("next attempt"))
    def next_attempt(self, delivery: Delivery) -> SafeString:
        return moment_html(delivery.next_attempt_at, timezone.now())

    @admin.display(description=_("error"))
    def error(self, delivery: Delivery) -> SafeString:
        return format_html('<span class="subtext">{}</span>', delivery.last_error)

    @admin.display(description=_("text"))
    def message(self, delivery: Delivery) -> SafeString:
        return format_html('<pre tabindex="0">{}</pre>', delivery.text)
