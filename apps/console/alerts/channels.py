"""Channel list and settings, and the test message."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from apps.alerts.delivery.sending import send_test_message
from apps.alerts.models import Channel, Delivery
from apps.console.alerts.channel_form import ChannelForm
from apps.console.settings.edit_conflict_admin import EditConflictAdmin
from apps.console.ui.badges import icon
from apps.console.ui.formatting import moment_html


class ChannelAdmin(EditConflictAdmin):
    """Whom alerts are sent to."""

    form = ChannelForm
    list_display = ("name", "kind", "recipients", "state", "last_sent", "pending")
    is_stacking = True
    list_filter = ("kind", "is_active")
    search_fields = ("name",)
    search_help_text = _("Name")
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    ordering = ("name",)
    readonly_fields = ("masked_url",)
    actions = None
    csv_name = "channels"
    csv_columns = (
        ("name", "name"),
        ("kind", "kind"),
        ("language", "language"),
        ("active", "is_active"),
        ("last sent at (UTC)", "last_sent_at"),
        ("failing since (UTC)", "failing_since"),
        ("error", "last_error"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        pending = Count("deliveries", filter=Q(deliveries__status=Delivery.Status.PENDING))
        return Channel.objects.annotate(pending_count=pending)

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        """The secrets, also those in the URL, only for users who may change them."""
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if may_write:
            addresses: tuple[str, ...] = ("apprise_url", "url", "secret")
        else:
            addresses = ("masked_url",)
        fields = ("name", "kind", "to", *addresses, "secret_env", "language", "is_active")
        return ((None, {"fields": fields}),)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.test_view))
        return [path("<int:channel_id>/test/", view, name="alerts_channel_test"), *super().get_urls()]

    def test_view(self, request: HttpRequest, channel_id: int) -> HttpResponse:
        """Sends a test message, and says whether the channel has accepted it."""
        channel = Channel.objects.filter(pk=channel_id).first()
        if not self.has_change_permission(request):
            raise PermissionDenied
        if channel is None:
            raise Http404
        delivery = send_test_message(channel)
        if delivery.status == Delivery.Status.SENT:
            messages.success(
                request,
                gettext("The channel %(name)s has accepted the test message.") % {"name": channel.name},
            )
            if not settings.BASE_URL:
                messages.warning(request, gettext("Messages have no links; set SYNCLOG_BASE_URL."))
        else:
            text = gettext("The test message was not delivered. %(error)s")
            messages.error(request, text % {"error": delivery.last_error})
        return HttpResponseRedirect(reverse("admin:alerts_channel_change", args=[channel.pk]))

    @admin.display(description=_("recipients"))
    def recipients(self, channel: Channel) -> str:
        if channel.kind == Channel.Kind.EMAIL:
            return ", ".join(channel.to)
        return self.masked_url(channel)

    @admin.display(description=_("URL"))
    def masked_url(self, channel: Channel) -> str:
        return channel.masked_url or "–"

    @admin.display(description=_("status"))
    def state(self, channel: Channel) -> SafeString:
        return channel_badge(channel)

    @admin.display(description=_("last sent"), ordering="last_sent_at")
    def last_sent(self, channel: Channel) -> SafeString:
        return moment_html(channel.last_sent_at, timezone.now())

    @admin.display(description=_("pending"))
    def pending(self, channel: Any) -> int:
        count: int = channel.pending_count
        return count


def channel_badge(channel: Channel) -> SafeString:
    """The state of a channel as word, shape and colour."""
    if not channel.is_active:
        css_class, name, text = "lost", "pause", gettext("Inactive")
    elif channel.failing_since:
        css_class, name, text = "failed", "cross", gettext("Failing")
    elif channel.last_sent_at:
        css_class, name, text = "succeeded", "check", gettext("OK")
    else:
        css_class, name, text = "never", "dash", gettext("Nothing sent yet")
    return format_html(
        '<span class="badge badge-{}" title="{}">{}{}</span>', css_class, channel.last_error, icon(name), text
    )
