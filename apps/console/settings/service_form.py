"""Settings form of a service."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import keep_lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from apps.console.settings.descriptions import schedule_text_with_next
from apps.console.settings.edit_conflict import EditConflictForm
from apps.console.settings.expression_text import expression_text
from apps.console.settings.option_fields import SIDES, SideFields
from apps.console.settings.script_editor import (
    ScriptField,
    editor_attributes,
    error_attributes,
    script_versions_link,
)
from apps.services.definition.http_options import HttpSource
from apps.services.definition.options import read_destination, read_source
from apps.services.definition.since import check_since
from apps.services.models import Connection, Service
from apps.services.sandbox.error_messages import error_place
from apps.services.sandbox.guide import SCRIPT_HELP
from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import check_script

_READERS: dict[str, Callable[..., object]] = {"source": read_source, "destination": read_destination}
# Columns for which an empty field means the default.
_WITH_DEFAULT = ("overlap", "retry_limit", "pause_after_failures")
# Form with the options of both sides, which the admin requires as declared fields.
OptionsForm: Any = type(
    "OptionsForm",
    (forms.Form,),
    {name: field for side in SIDES for name, field in side.form_fields().items()},
)


@keep_lazy(SafeString)
def _folded(summary: Any, text: Any) -> SafeString:
    return format_html("<details><summary>{}</summary><pre>{}</pre></details>", summary, text)


def option_values(service: Service) -> dict[str, Any]:
    """The values of the fields that are not columns: script, and options of both sides."""
    current = service.current_script()
    values: dict[str, Any] = {"script": current.source if current else ""}
    for side in SIDES:
        values |= side.initial(getattr(service, f"{side.side}_options"))
    return values


class ServiceForm(EditConflictForm, OptionsForm):  # type: ignore[misc]  # Built at run time.
    """Source, script, destination, schedule and policies of a service.

    The caller sets `author`, the user who is stored with a new version of the script.
    """

    author: Any = None
    columns_of_runs = ("since",)

    script = ScriptField(label=_("Script"), help_text=_folded(_("What a script can do"), SCRIPT_HELP))

    class Meta:
        model = Service
        fields = (
            "name",
            "slug",
            "groups",
            "source_connection",
            "destination_connection",
            "schedule",
            "timezone",
            "max_attempts",
            "timeout_seconds",
            "is_active",
            "overlap",
            "retry_limit",
            "pause_after_failures",
            "capture_on_failure",
            "log_retention_days",
            "record_retention_days",
            "track_records",
            "since",
        )
        labels = {"source_connection": _("Connection"), "destination_connection": _("Connection")}

    class Media:
        css = {"all": ("console/settings/form.css",)}
        js = (
            forms.Script("console/settings/form.js", type="module"),
            forms.Script("console/editor/main.js", type="module"),
        )

    def __init__(self, *args: Any, instance: Service | None = None, **kwargs: Any) -> None:
        if instance is not None:
            kwargs["initial"] = {**option_values(instance), **(kwargs.get("initial") or {})}
        super().__init__(*args, instance=instance, **kwargs)
        for name in self.fields.keys() & _WITH_DEFAULT:
            self.fields[name].required = False
        # Null in the database for reported services, whose form does not have them.
        for name in self.fields.keys() & {"source_connection", "destination_connection"}:
            self.fields[name].required = True
        if "source_connection" in self.fields:
            self._describe_script()
            self._describe_conditions()
            self._describe_schedule()
            self._describe_expressions()

    def clean_script(self) -> str:
        script: str = self.cleaned_data["script"]
        if script:
            try:
                check_script(script)
            except ScriptError as error:
                if place := error_place(str(error)):
                    self.fields["script"].widget.attrs |= error_attributes(*place)
                raise ValidationError(str(error)) from None
        return script

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in _WITH_DEFAULT:
            if name in cleaned and cleaned[name] in (None, ""):
                cleaned[name] = getattr(Service(), name)
        for side in SIDES:
            self._read_side(side, cleaned)
        return cleaned

    def full_label(self, name: str) -> str:
        """Label of a field with its side: both have a path."""
        sides = {"source": _("Source"), "destination": _("Destination")}
        side = sides.get(name.partition("_")[0])
        label = super().full_label(name)
        return f"{side}: {label}" if side else label

    def save(self, commit: bool = True) -> Service:
        if not self.instance.pk or {"schedule", "timezone", "is_active"} & set(self.changed_data):
            self.instance.plan_next_run(timezone.now())
        service: Service = super().save(commit)
        return service

    def _save_m2m(self) -> None:
        """Saves what needs the row: groups and script."""
        super()._save_m2m()
        self.instance.set_script(self.cleaned_data["script"], author=self.author)

    def _read_side(self, side: SideFields, cleaned: dict[str, Any]) -> None:
        """Sets the options of one side on the service, or adds each error to its field."""
        connection = cleaned.get(f"{side.side}_connection")
        if connection is None:
            return
        for name in side.unused(connection.kind, cleaned):
            self.errors.pop(name, None)
        options = side.read(connection.kind, cleaned)
        try:
            _READERS[side.side](connection.kind, options, auth_header=connection.custom_header)
        except ValidationError as error:
            for key, messages in error.message_dict.items():
                name, rest = side.field_of(key)
                # A field that was invalid already is missing here for this reason alone.
                if name not in self.errors:
                    self.add_error(name, [f"{rest}: {message}" if rest else message for message in messages])
        else:
            setattr(self.instance, f"{side.side}_options", options)
            if side.side == "source" and cleaned.get("since"):
                self._check_since(connection, options, cleaned)

    def _check_since(self, connection: Connection, options: dict[str, Any], cleaned: dict[str, Any]) -> None:
        source = read_source(connection.kind, options, auth_header=connection.custom_header)
        is_time = isinstance(source, HttpSource) and source.since.is_run_start
        try:
            cleaned["since"] = check_since(cleaned["since"], is_time=is_time)
        except ValueError as error:
            self.add_error("since", str(error))

    def _describe_script(self) -> None:
        field: Any = self.fields["script"]
        field.widget.attrs |= editor_attributes()
        if self.instance.pk:
            field.help_text = format_html("{}{}", field.help_text, script_versions_link(self.instance))

    def _describe_conditions(self) -> None:
        """Data attributes for settings/form.js; without JavaScript every field stays visible."""
        connections: Any = self.fields["source_connection"]
        rows = [*connections.queryset.values_list("pk", "name", "kind")]
        kinds = json.dumps({str(key): kind for key, _name, kind in rows})
        # One query for both lists.
        choices = [("", connections.empty_label), *((key, name) for key, name, _kind in rows)]
        for side in SIDES:
            widget: Any = self.fields[f"{side.side}_connection"].widget
            # The admin wraps the list of connections to add its links.
            widget = getattr(widget, "widget", widget)
            widget.choices = choices
            widget.attrs |= {
                "data-kinds": kinds,
                "data-describe-url": reverse("admin:services_service_describe_connection"),
            }
            for name, condition in side.conditions.items():
                self.fields[name].widget.attrs["data-shown-for"] = " ".join(
                    # The browser knows the suffix of the path.
                    f"{chooser}={','.join(filter(None, choices))}"
                    for chooser, choices in condition.items()
                )
        self.fields["since"].widget.attrs["data-shown-for"] = "source_connection=http"
        self.fields["source_body"].widget.attrs["data-shown-for"] += " source_method=POST"
        # A single request has no size, but files are always read in pages.
        sent = self.fields["source_pagination_size_param"].widget.attrs["data-shown-for"]
        self.fields["source_page_size"].widget.attrs["data-shown-for"] = f"source_connection=file|{sent}"

    def _describe_schedule(self) -> None:
        schedule, zone = self["schedule"], self["timezone"].value() or ""
        try:
            text = schedule_text_with_next(schedule.value() or "", zone, timezone.now())
        except ValidationError:
            text = ""
        _describe(schedule, reverse("admin:services_service_describe_schedule"), text)

    def _describe_expressions(self) -> None:
        url = reverse("admin:services_service_describe_expression")
        for name, field in self.fields.items():
            if not field.widget.attrs.pop("data-expression", ""):
                continue
            try:
                text = expression_text(str(self[name].value() or field.widget.attrs.get("placeholder", "")))
            except ValueError:
                text = ""
            _describe(self[name], url, text)


def _describe(bound: forms.BoundField, url: str, text: str) -> None:
    """Shows `text` below the field; settings/form.js updates it from `url` while the user types."""
    bound.field.widget.attrs["data-describe-url"] = url
    bound.help_text = format_html(
        '{} <output class="description" for="{}">{}</output>', bound.field.help_text, bound.id_for_label, text
    )
