"""The settings of a service as fields that a person can fill in, whatever JSON they are kept in."""

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

from apps.console.settings.fields import PairsField, SourceCodeField
from apps.console.settings.option_fields import DESTINATION_FIELDS, SOURCE_FIELDS, OptionFields
from apps.console.settings.schedule_preview import schedule_words
from apps.services.definition.options import FORMATS, METHODS, destination_from, source_from
from apps.services.models import Service
from apps.services.sandbox import ScriptError, check_script
from apps.services.sandbox.guide import SCRIPT_HELP

_FORMATS = [("", _("As the file's name ends")), *((name, name.upper()) for name in FORMATS)]
_METHODS = [(name, name) for name in METHODS]
_PAGINATIONS = [
    ("none", _("None, one request")),
    ("page", _("Page numbers")),
    ("offset", _("Offset")),
    ("cursor", _("Cursor in the answer")),
    ("link", _("Link header, rel=next")),
]


# Left empty, these mean what the model has as its default.
_WITH_DEFAULTS = {"overlap", "retry_limit", "pause_after_failures"}


def _text(label: Any, default: Any = "", help_text: Any = "") -> forms.CharField:
    """A field whose default stands in it, greyed, until something is written."""
    widget = forms.TextInput(attrs={"class": "vTextField", "placeholder": default, "spellcheck": "false"})
    return forms.CharField(label=label, required=False, help_text=help_text, widget=widget)


def _number(label: Any, default: str, help_text: Any = "") -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"class": "vIntegerField", "placeholder": default})
    return forms.IntegerField(label=label, required=False, help_text=help_text, widget=widget)


def _pairs(label: Any, example: str) -> PairsField:
    widget = forms.Textarea(attrs={"rows": 2, "placeholder": example, "spellcheck": "false"})
    return PairsField(label=label, help_text=_("In each line a name, a colon and a value."), widget=widget)


@keep_lazy(SafeString)
def _folded(summary: Any, text: Any) -> SafeString:
    return format_html("<details><summary>{}</summary><pre>{}</pre></details>", summary, text)


def _choice(label: Any, choices: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, required=False)


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """Source, script, destination and schedule of a service, each checked before anything is saved.

    Whoever saves it sets `author` first, who is noted with a new version of the script.
    """

    author: Any = None

    source_path = _text(
        _("Path"), help_text=_("Below the connection's address: /orders; of files in/*.json, with * and ?.")
    )
    source_format = _choice(_("Format"), _FORMATS)
    source_records = _text(
        _("Records"), "@", _("JMESPath to the list of records, such as data.items; @ is the answer itself.")
    )
    source_id_field = _text(
        _("Id field"), "id", _("What a record is known by, to run the service for one record.")
    )
    source_page_size = _number(
        _("Page size"), "100", _("Records in a page; in files 1000 unless written here.")
    )
    source_pagination_type = _choice(_("Paging"), _PAGINATIONS)
    source_pagination_page_param = _text(_("Page parameter"), "page")
    source_pagination_first = _number(_("First page"), "1")
    source_pagination_offset_param = _text(_("Offset parameter"), "offset")
    source_pagination_cursor = _text(
        _("Cursor"), help_text=_("JMESPath to the next page's cursor, such as meta.next.")
    )
    source_pagination_param = _text(_("Cursor parameter"), "cursor")
    source_pagination_size_param = _text(
        _("Size parameter"),
        help_text=_("Left empty, the page size is not sent; with an offset it is “limit”."),
    )
    source_params = _pairs(_("Parameters"), "status: open")
    source_headers = _pairs(_("Headers"), "Accept-Language: en")

    script = SourceCodeField(label=_("Script"), help_text=_folded(_("What a script can do"), SCRIPT_HELP))

    destination_method = _choice(_("Method"), _METHODS)
    destination_path = _text(
        _("Path"), help_text=_("Below the connection's address: /stock; of files out/{run}-{page}.ndjson.")
    )
    destination_format = _choice(_("Format"), _FORMATS)
    destination_batch_size = _number(
        _("Batch size"), "100", _("Records in a request; 1 sends each record by itself, more send a list.")
    )
    destination_params = _pairs(_("Parameters"), "mode: upsert")
    destination_headers = _pairs(_("Headers"), "Accept: application/json")

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
        )
        labels = {"source_connection": _("Connection"), "destination_connection": _("Connection")}
        help_texts = {
            "slug": _("The name in addresses, YAML files and the API."),
            "timezone": _("Such as Europe/London; the schedule is read there."),
            "max_attempts": _("For one request, the first included."),
            "timeout_seconds": _("A run that takes longer is stopped."),
            "is_active": _("Whether the schedule starts it. By hand it can always be run."),
            "overlap": _("What happens when the schedule comes round before the last run has ended."),
            "retry_limit": _(
                "Runs that failed or were lost are run again this often. 0: never, because it is not safe to repeat."
            ),
            "pause_after_failures": _("So many failures in a row turn the schedule off. 0: they never do."),
            "capture_on_failure": _(
                "A scheduled run keeps its payloads; they are thrown away unless it fails or warns."
            ),
            "log_retention_days": _("Logs of this service are kept so long. Empty: as long as all others."),
        }

    class Media:
        css = {"all": ("console/settings-form.css",)}
        js = (forms.Script("console/settings-form.js", type="module"),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            current = self.instance.current_script()
            self.initial = {
                **SOURCE_FIELDS.initial(self.instance.source_options),
                **DESTINATION_FIELDS.initial(self.instance.destination_options),
                "script": current.source if current else "",
                **self.initial,
            }
        for name in _WITH_DEFAULTS & self.fields.keys():
            self.fields[name].required = False
        if "source_connection" in self.fields:
            self._say_what_applies()
            self._say_when_it_runs()

    def clean_overlap(self) -> str:
        return self.cleaned_data["overlap"] or Service.Overlap.SKIP

    def clean_retry_limit(self) -> int:
        return self.cleaned_data["retry_limit"] or 0

    def clean_pause_after_failures(self) -> int:
        return self.cleaned_data["pause_after_failures"] or 0

    def clean_script(self) -> str:
        script: str = self.cleaned_data["script"]
        if script:
            try:
                check_script(script)
            except ScriptError as error:
                raise ValidationError(str(error)) from None
        return script

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self._read_options(SOURCE_FIELDS, source_from, cleaned)
        self._read_options(DESTINATION_FIELDS, destination_from, cleaned)
        return cleaned

    def save(self, commit: bool = True) -> Service:
        if not self.instance.pk or {"schedule", "timezone", "is_active"} & set(self.changed_data):
            self.instance.plan_next_run(timezone.now())
        service: Service = super().save(commit)
        return service

    def _save_m2m(self) -> None:
        """What needs the row: its groups and its script."""
        super()._save_m2m()  # type: ignore[misc]  # The stubs leave out what the documentation does too.
        self.instance.set_script(self.cleaned_data["script"], author=self.author)

    def _read_options(
        self, fields: OptionFields, read: Callable[..., object], cleaned: dict[str, Any]
    ) -> None:
        """Puts the options of one side on the service, or each error at its field."""
        connection = cleaned.get(f"{fields.side}_connection")
        if connection is None:
            return
        for name in fields.unused(connection.kind, cleaned.get("source_pagination_type", "")):
            self.errors.pop(name, None)
        options = fields.read(connection.kind, cleaned)
        try:
            read(connection.kind, options, auth_header=connection.auth_header)
        except ValidationError as error:
            for key, messages in error.message_dict.items():
                name, rest = fields.field_of(key)
                for message in messages:
                    self.add_error(name, f"{rest}: {message}" if rest else message)
        else:
            setattr(self.instance, f"{fields.side}_options", options)

    def _say_what_applies(self) -> None:
        """Tells settings-form.js, without which every field simply stays in sight."""
        choices: Any = self.fields["source_connection"]
        kinds = json.dumps({str(key): kind for key, kind in choices.queryset.values_list("pk", "kind")})
        for fields in (SOURCE_FIELDS, DESTINATION_FIELDS):
            widget: Any = self.fields[f"{fields.side}_connection"].widget
            # The admin wraps the list of connections, to put its links beside it.
            getattr(widget, "widget", widget).attrs["data-kinds"] = kinds
            for name, condition in fields.conditions():
                self.fields[name].widget.attrs["data-shown-for"] = " ".join(
                    f"{chooser}={','.join(choices)}" for chooser, choices in condition.items()
                )

    def _say_when_it_runs(self) -> None:
        schedule, zone = self["schedule"], self["timezone"].value() or ""
        try:
            words = schedule_words(schedule.value() or "", zone, timezone.now())
        except ValidationError:
            words = ""
        url = reverse("admin:services_service_describe_schedule")
        schedule.field.widget.attrs["data-describe-url"] = url
        schedule.help_text = format_html(
            '{} <output class="schedule-words">{}</output>',
            _("Minute, hour, day, month, weekday, as in */15 * * * *; empty: only by hand."),
            words,
        )
