"""Connection list and settings."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import F, Func, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from apps.console.settings.connection_form import ConnectionForm
from apps.console.settings.connection_test import test_chosen, test_form
from apps.console.settings.edit_conflict_admin import EditConflictAdmin
from apps.console.ui.csv_export import text_cell
from apps.services.definition.connection_url import without_secrets
from apps.services.models import Connection, HostKey, Service


class ConnectionAdmin(EditConflictAdmin):
    """Systems that services pull from and push to."""

    form = ConnectionForm
    list_display = ("name", "kind", "address", "auth", "service_count")
    list_filter = ("kind", "auth")
    is_stacking = True
    search_fields = ("name", "url")
    search_help_text = _("Name or URL")
    ordering = ("name",)
    show_full_result_count = False
    readonly_fields = ("host_keys",)
    actions = None
    csv_name = "connections"
    csv_columns = (
        ("name", "name"),
        ("kind", "kind"),
        ("URL", "url", lambda url: text_cell(without_secrets(url))),
        ("authentication", "auth"),
        ("services", "service_count"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """Connections that the user may see, each with the number of services that use it."""
        using_services = Service.objects.not_hidden_from(request.user).filter(
            Q(source_connection=OuterRef("pk")) | Q(destination_connection=OuterRef("pk"))
        )
        count = using_services.annotate(count=Func(F("pk"), function="COUNT")).values("count")
        return Connection.objects.not_hidden_from(request.user).annotate(service_count=Subquery(count))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A connection in use cannot be deleted."""
        may_delete = super().has_delete_permission(request, obj)
        return may_delete and (obj is None or not obj.service_count)

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """The secret only for users who may change it; removal only if one is stored."""
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        secret = ("secret", "private_key") if may_write else ()
        refresh_token = ("refresh_token",) if may_write else ()
        passphrase = ("passphrase",) if may_write else ()
        removal = ("remove_secret",) if may_write and obj and obj.secret_encrypted else ()
        address = ("name", "kind", "url")
        http = ("requests_per_minute", "proxy", ("ca_file", "client_cert_file"))
        oauth = ("auth_grant", "auth_token_url", ("auth_client_id", "auth_scope"), *refresh_token)
        auth = ("auth", "auth_username", "auth_header", "auth_query", *oauth, "refresh_token_env")
        fieldsets: list[Any] = [
            (None, {"fields": (*address, ("connect_timeout", "read_timeout"), *http)}),
            (
                _("Authentication"),
                {"fields": (*auth, *secret, *removal, "secret_env", *passphrase, "passphrase_env")},
            ),
        ]
        if obj and _host_keys_of(obj).exists():
            forget = ("forget_host_key",) if may_write else ()
            fieldsets.append((_("Server"), {"fields": ("host_keys", *forget)}))
        return fieldsets

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("test/", view(require_POST(partial(test_form, self))), name="services_connection_test"),
            path(
                "test/<slug:side>/",
                view(require_POST(partial(test_chosen, self))),
                name="services_connection_test_chosen",
            ),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        """The form, with the address of its test for users who may change it."""
        stored = context.get("original")
        may_write = (
            self.has_change_permission(request, stored) if stored else self.has_add_permission(request)
        )
        if may_write:
            query = {"id": stored.pk} if stored else {}
            context["test_url"] = reverse("admin:services_connection_test", query=query)
        return super().render_change_form(request, context, *args, **options)

    @admin.display(description=_("Host key"))
    def host_keys(self, connection: Connection) -> str:
        """The keys by which the server is recognized, with their fingerprints."""
        keys = [
            gettext("%(key)s, remembered %(time)s")
            % {
                "key": f"{key.algorithm} {key.fingerprint}",
                "time": date_format(localtime(key.created_at), "DATETIME_FORMAT"),
            }
            for key in _host_keys_of(connection)
        ]
        return format_html_join(mark_safe("<br>"), "{}", ((text,) for text in keys))

    @admin.display(description=_("URL"), ordering="url")
    def address(self, connection: Connection) -> str:
        return without_secrets(connection.url)

    @admin.display(description=_("services"), ordering="service_count")
    def service_count(self, connection: Any) -> int:
        count: int = connection.service_count
        return count


def _host_keys_of(connection: Connection) -> QuerySet[HostKey]:
    """The remembered keys of the server of an SFTP connection."""
    return HostKey.objects.filter(host=connection.ssh_host).order_by("algorithm")
