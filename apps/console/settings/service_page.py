"""Settings page of a service: a form for users who may change it, plain text for users who may only view it."""

from __future__ import annotations

from typing import Any

import yaml
from django.contrib import admin
from django.forms import Media, ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from apps.console.settings.descriptions import describe_connection, describe_expression, describe_schedule
from apps.console.settings.edit_conflict_admin import EditConflictAdmin
from apps.console.settings.fieldsets import REPORTED_FIELDSETS, with_used_options_open
from apps.console.settings.option_fields import SIDES
from apps.console.settings.script_editor import script_versions_link
from apps.console.settings.service_copy import copied_service, values_of_copy
from apps.console.settings.service_form import ServiceForm
from apps.console.settings.trial_view import replayable_runs, trial_view
from apps.services.models import Connection, Service

_READ_ONLY_FIELDSETS = (
    (None, {"fields": ("name", "slug", "is_active", "groups")}),
    (_("Source"), {"fields": ("source_connection", "source_settings", "since")}),
    (_("Script"), {"fields": ("script_source",)}),
    (_("Destination"), {"fields": ("destination_connection", "destination_settings")}),
    (_("Schedule"), {"fields": ("schedule", "timezone", "overlap")}),
    (_("When a run fails"), {"fields": ("retry_limit", "pause_after_failures", "capture_on_failure")}),
    (
        _("Limits"),
        {
            "fields": (
                "max_attempts",
                "timeout_seconds",
                "log_retention_days",
                "record_retention_days",
                "track_records",
            )
        },
    ),
)


class ServiceSettings(EditConflictAdmin):
    """Part of the services admin that is about settings."""

    form = ServiceForm

    @property
    def media(self) -> Media:
        """Django's scripts for the window in which a connection is added, without those for lists and slugs."""
        files = ("vendor/jquery/jquery.min.js", "jquery.init.js", "admin/RelatedObjectLookups.js")
        return Media(js=[f"admin/js/{name}" for name in files])

    def get_fieldsets(self, request: HttpRequest, obj: Service | None = None) -> Any:
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if _is_reported(request, obj):
            return REPORTED_FIELDSETS
        if not may_write:
            return _READ_ONLY_FIELDSETS
        original = obj or copied_service(request)
        used = {
            name
            for side in SIDES
            for name in (side.initial(getattr(original, f"{side.side}_options")) if original else ())
        }
        return with_used_options_open(used)

    def get_form(
        self, request: HttpRequest, obj: Service | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """The form, with the user as the author of a new version of the script."""
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if not may_write:
            return super().get_form(request, obj, change, form=ModelForm, **kwargs)
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.author = request.user
        for name in {"source_connection", "destination_connection"} & form.base_fields.keys():
            field = form.base_fields[name]
            field.queryset = Connection.objects.not_hidden_from(request.user).order_by("name")
            # Connections are deleted on their own page, which shows the services that use them.
            field.widget.can_delete_related = False
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Values of the add form; for a duplicate those of the original."""
        original = copied_service(request)
        return values_of_copy(original) if original else super().get_changeform_initial_data(request)

    def save_model(self, request: HttpRequest, obj: Service, form: Any, change: bool) -> None:
        if not change and _is_reported(request, None):
            obj.kind = Service.Kind.REPORTED
        super().save_model(request, obj, form, change)

    def add_url(self, request: HttpRequest) -> str:
        url = super().add_url(request)
        return f"{url}?kind={Service.Kind.REPORTED}" if _is_reported(request, None) else url

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("describe-schedule/", view(describe_schedule), name="services_service_describe_schedule"),
            path(
                "describe-expression/", view(describe_expression), name="services_service_describe_expression"
            ),
            path(
                "describe-connection/", view(describe_connection), name="services_service_describe_connection"
            ),
            path("preview/", view(require_POST(self.preview_view)), name="services_service_preview"),
            *super().get_urls(),
        ]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """One step of the service with the unsaved settings of the form."""
        return trial_view(self, request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """With the stored pages that a preview can have as its input."""
        service = kwargs.get("obj")
        context["replayable_runs"] = replayable_runs(request.user, service) if service is not None else []
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("settings"))
    def source_settings(self, service: Service) -> SafeString:
        return _as_text(service.source_options)

    @admin.display(description=_("settings"))
    def destination_settings(self, service: Service) -> SafeString:
        return _as_text(service.destination_options)

    @admin.display(description=_("script"))
    def script_source(self, service: Service) -> SafeString:
        script = service.current_script()
        text = script.source if script else _("No script.")
        return format_html("<pre>{}</pre>{}", text, script_versions_link(service))


def _is_reported(request: HttpRequest, service: Service | None) -> bool:
    """Whether the form is that of a reported service; without `service` it is an add form."""
    if (original := service or copied_service(request)) is not None:
        return original.is_reported
    if getattr(request, "deletion", ""):
        # Of the deleted service only what was entered is left.
        return "source_connection" not in request.POST
    return request.GET.get("kind") == Service.Kind.REPORTED


def _as_text(options: dict[str, Any]) -> SafeString:
    text = yaml.safe_dump(options, sort_keys=False, allow_unicode=True) if options else _("Defaults.")
    return format_html("<pre>{}</pre>", text)
