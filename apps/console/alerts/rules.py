"""Admin of rules and maintenance windows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.alerts.models import MaintenanceWindow, Rule
from apps.console.ui.badges import icon
from apps.console.ui.checkbox_list import CheckboxList
from apps.services.models import Service
from apps.services.user_access import hidden_service_ids


class RuleForm(forms.ModelForm):  # type: ignore[type-arg] # It takes no parameter at run time.
    """Form of a rule; `viewer` is the user, who may see only some services."""

    viewer: Any = None

    events = forms.MultipleChoiceField(
        label=_("Events"), choices=Rule.Event, widget=forms.CheckboxSelectMultiple, required=False
    )

    class Meta:
        model = Rule
        widgets = {"services": CheckboxList, "channels": CheckboxList}
        fields = (
            *("name", "services", "events", "no_success_for_hours", "refused_limit", "channels"),
            *("quiet_from", "quiet_until", "timezone", "daily_reminder", "include_record_keys", "is_active"),
        )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in {"services", "channels"} & self.fields.keys():
            # Without Django's links to add a row, which a list of checkboxes would not show.
            widget = self.fields[name].widget
            self.fields[name].widget = getattr(widget, "widget", widget)
        if "services" in self.fields:
            self.fields["services"].queryset = Service.objects.visible_to(self.viewer).order_by("name")  # type: ignore[attr-defined] # Of a choice of models.
        if "channels" in self.fields:
            self.fields["channels"].error_messages["required"] = _(
                "The rule has no channel, so nobody would be alerted; choose one."
            )

    def clean_services(self) -> Any:
        services = self.cleaned_data["services"]
        if not services and hidden_service_ids(self.viewer):
            raise forms.ValidationError(
                gettext("Choose services: a rule for all would include some that you may not see.")
            )
        self.instance.is_for_all = not services
        return services


def _names_or_none(names: Iterable[str]) -> str | SafeString:
    """The names; without any, because they were deleted, a badge: the rule never alerts."""
    return ", ".join(sorted(names)) or format_html(
        '<span class="badge badge-failed">{}{}</span>', icon("cross"), gettext("None: the rule never alerts")
    )


class RuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # The same.
    """Rules whose services the user may see."""

    form = RuleForm
    list_display = ("name", "event_names", "service_names", "channel_names", "is_active")
    is_stacking = True
    list_filter = ("is_active",)
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = ("name", "services__name", "services__slug", "channels__name")
    search_help_text = _("Name, service or channel")
    ordering = ("name", "pk")
    actions = None
    csv_name = "alert-rules"
    csv_columns = (
        ("name", "name"),
        ("events", "events"),
        ("no success for (hours)", "no_success_for_hours"),
        ("active", "is_active"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        rules = Rule.objects.prefetch_related("services", "channels")
        hidden = hidden_service_ids(request.user)
        return rules.exclude(services__in=hidden) if hidden else rules

    def get_form(
        self, request: HttpRequest, obj: Rule | None = None, change: bool = False, **options: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **options)
        form.viewer = request.user
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        return (
            (None, {"fields": ("name", "services", "channels", "is_active")}),
            (_("Events"), {"fields": ("events", ("no_success_for_hours", "refused_limit"))}),
            (
                _("Messages"),
                {
                    "fields": (
                        ("quiet_from", "quiet_until", "timezone"),
                        "daily_reminder",
                        "include_record_keys",
                    )
                },
            ),
        )

    @admin.display(description=_("events"))
    def event_names(self, rule: Rule) -> str:
        names = [str(Rule.Event(event).label) for event in rule.events if event in Rule.Event.values]
        if rule.no_success_for_hours:
            names.append(gettext("no success for %(hours)s h") % {"hours": rule.no_success_for_hours})
        return ", ".join(names)

    @admin.display(description=_("services"))
    def service_names(self, rule: Rule) -> str | SafeString:
        if rule.is_for_all:
            return gettext("all")
        return _names_or_none(service.name for service in rule.services.all())

    @admin.display(description=_("channels"))
    def channel_names(self, rule: Rule) -> str | SafeString:
        return _names_or_none(channel.name for channel in rule.channels.all())


class MaintenanceAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # The same.
    """Maintenance windows of the services that the user may see."""

    list_display = ("service", "starts_at", "ends_at", "reason")
    list_select_related = ("service",)
    fields = ("service", ("starts_at", "ends_at"), "reason")
    is_stacking = True
    show_full_result_count = False
    search_fields = ("service__name", "service__slug", "reason")
    search_help_text = _("Service or reason")
    ordering = ("-ends_at", "-pk")
    actions = None
    csv_name = "maintenance"
    csv_columns = (
        ("service", "service__slug"),
        ("from (UTC)", "starts_at"),
        ("until (UTC)", "ends_at"),
        ("reason", "reason"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[MaintenanceWindow]:
        hidden = hidden_service_ids(request.user)
        return MaintenanceWindow.objects.exclude(service__in=hidden)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "service":
            options["queryset"] = Service.objects.visible_to(request.user).order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_form(
        self, request: HttpRequest, obj: MaintenanceWindow | None = None, change: bool = False, **options: Any
    ) -> Any:
        """Without Django's links to add, change and view services."""
        form: Any = super().get_form(request, obj, change, **options)
        if service := form.base_fields.get("service"):
            widget = service.widget
            widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        return form
