"""Form fields of source and destination, derived from the definition of their options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, get_args

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import lazy
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from pydantic.fields import FieldInfo

from apps.services.definition.expression import Expression
from apps.services.definition.option_errors import fields_of, is_whole_number, nested_model, union_members
from apps.services.definition.option_types import JMESPath, JsonBody, Options
from apps.services.definition.options import DESTINATIONS, SOURCES

# Labels of the types of a union.
_TYPES = {
    "none": _("None, one request"),
    "page": _("Page numbers"),
    "offset": _("Offset"),
    "cursor": _("Cursor in the response"),
    "link": _("Link header, rel=next"),
    "next_url": _("URL in the response"),
}
# Labels of other choices.
_CHOICES = {
    "": _("By the suffix of the path"),
    "auto": _("By the suffix of the path"),
    "none": _("None"),
    "json": "JSON",
    "ndjson": "NDJSON",
    "csv": "CSV",
    "xml": "XML",
    "xlsx": "Excel (xlsx)",
}
# The format for which an option applies.
_FORMATS = {"records": "json", "csv": "csv", "xml": "xml", "sheet": "xlsx", "header_row": "xlsx"}

# Values of other fields for which a field applies.
type Condition = Mapping[str, tuple[str, ...]]


class PairsField(forms.CharField):
    """Names and values, one pair a line as in `limit: 100`; cleaned to a dict."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{name}: {text}" for name, text in value.items())
        return value

    def clean(self, value: Any) -> dict[str, str]:
        """Raises ValidationError with the number of the first invalid line."""
        pairs: dict[str, str] = {}
        for number, line in enumerate(str(super().clean(value)).splitlines(), start=1):
            if not line.strip():
                continue
            name, colon, text = (part.strip() for part in line.partition(":"))
            if not colon or not name:
                raise ValidationError(
                    _("Line %(number)d is not a pair; write a name, a colon and a value, as in limit: 100."),
                    params={"number": number},
                )
            if name in pairs:
                raise ValidationError(
                    _("Line %(number)d repeats “%(name)s”; remove one of the two."),
                    params={"number": number, "name": name},
                )
            pairs[name] = text
        return pairs

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class NamesField(forms.CharField):
    """Names, separated by commas."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class BodyField(forms.JSONField):
    """JSON of a request."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else value

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except (RecursionError, ValueError):
            # Nested too deeply, or a number with too many digits.
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class SideFields:
    """Fields of one side: `source_path` is `path`, `source_pagination_type` is `pagination.type`."""

    def __init__(self, side: str, models: Mapping[str, type[Options]]) -> None:
        self.side = side
        self._models = models

    def form_fields(self) -> dict[str, forms.Field]:
        infos: dict[str, dict[str, FieldInfo]] = {}
        for kind, model in self._models.items():
            for name, _path, field_info in _flat_fields(self.side, model):
                infos.setdefault(name, {}).setdefault(kind, field_info)
        fields = {name: _form_field(next(iter(of_kinds.values()))) for name, of_kinds in infos.items()}
        for name, of_kinds in infos.items():
            self._distinguish_kinds(fields[name], of_kinds)
        return fields

    def _distinguish_kinds(self, field: forms.Field, of_kinds: Mapping[str, FieldInfo]) -> None:
        """Help text and placeholder of each kind of connection, of which settings/form.js shows one."""
        texts = {kind: info.description or "" for kind, info in of_kinds.items()}
        if len(set(texts.values())) > 1:
            field.help_text = lazy(_help_of_kinds, SafeString)(f"{self.side}_connection", texts)
        placeholders = {kind: _placeholder(info) for kind, info in of_kinds.items()}
        if len(set(placeholders.values())) > 1:
            field.widget.attrs |= {"placeholder": "", "data-placeholders": json.dumps(placeholders)}

    def initial(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Initial values of the fields for stored options."""
        paths = {
            path for model in self._models.values() for _name, path, _info in _flat_fields(self.side, model)
        }
        values: dict[str, Any] = {}
        for key, value in options.items():
            if (key,) in paths:
                values[f"{self.side}_{key}"] = value
            else:
                values |= {f"{self.side}_{key}_{name}": part for name, part in (value or {}).items()}
        return values

    def read(self, kind: str, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a connection of `kind`; empty fields are left out."""
        unused = set(self.unused(kind, cleaned))
        options: dict[str, Any] = {}
        for name, path, _field_info in _flat_fields(self.side, self._models[kind]):
            value = cleaned.get(name)
            if name in unused or value is False or value in (None, "", {}):
                continue
            target = options
            for part in path[:-1]:
                target = target.setdefault(part, {})
            target[path[-1]] = value
        defaults = {"pagination": {"type": "none"}, "method": "GET", "compression": "auto"}
        for key, default in defaults.items():
            if options.get(key) == default:
                del options[key]
        return options

    def field_of(self, key: str) -> tuple[str, str]:
        """Field of the option `key`, and the rest of the key: `headers.X-A` is in the field of `headers`.

        An option that has several fields is in the first one.
        """
        parts = tuple(key.split("."))
        names = [
            (name, path)
            for model in self._models.values()
            for name, path, _info in _flat_fields(self.side, model)
        ]
        for name, path in names:
            if path == parts[: len(path)]:
                return name, ".".join(parts[len(path) :])
        return next((name for name, path in names if path[0] == parts[0]), f"{self.side}_{parts[0]}"), ""

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """For each field, the kinds of connection, the types of pagination and the format for which it applies."""
        kinds: dict[str, list[str]] = {}
        types: dict[str, list[str]] = {}
        formats: dict[str, str] = {}
        for kind, model in self._models.items():
            for name, path, _field_info in _flat_fields(self.side, model):
                kinds.setdefault(name, [])
                if kind not in kinds[name]:
                    kinds[name].append(kind)
                if path[0] in _FORMATS:
                    formats[name] = _FORMATS[path[0]]
            if pagination := model.model_fields.get("pagination"):
                for type_name, member in union_members(pagination).items():
                    for key in member.model_fields.keys() - {"type"}:
                        types.setdefault(f"{self.side}_pagination_{key}", []).append(type_name)
        conditions: dict[str, Condition] = {}
        for name, of_kinds in kinds.items():
            condition = {f"{self.side}_connection": tuple(of_kinds)}
            if name in types:
                condition[f"{self.side}_pagination_type"] = tuple(types[name])
            if name in formats:
                # Without a choice, the suffix of the path is not known here.
                condition[f"{self.side}_format"] = ("", formats[name])
            conditions[name] = condition
        return conditions

    def unused(self, kind: str, values: Mapping[str, Any]) -> list[str]:
        """Fields that do not apply for a connection of `kind`, the chosen pagination and the chosen format."""
        chooser, format_field = f"{self.side}_pagination_type", f"{self.side}_format"
        has_format = "format" in self._models[kind].model_fields
        chosen = {
            f"{self.side}_connection": kind,
            chooser: values.get(chooser) or "none",
            # Responses are JSON.
            format_field: (values.get(format_field) or "") if has_format else "json",
        }
        return [
            name
            for name, condition in self.conditions.items()
            if any(chosen[other] not in allowed for other, allowed in condition.items())
        ]


def _flat_fields(side: str, model: type[Options]) -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Form field name, path of the option and definition; an option that consists of
    others gives those, a union its discriminator and all other options."""
    for key, field_info in model.model_fields.items():
        if (model_of_parts := nested_model(field_info)) is not None:
            for name, info in fields_of(model_of_parts).items():
                yield f"{side}_{key}_{name}", (key, name), info
            continue
        if not field_info.discriminator:
            yield f"{side}_{key}", (key,), field_info
            continue
        members = union_members(field_info).values()
        nested = {name: info for member in members for name, info in reversed(member.model_fields.items())}
        yield f"{side}_{key}_type", (key, "type"), field_info
        for name, info in nested.items():
            if name != "type":
                yield f"{side}_{key}_{name}", (key, name), info


def _form_field(field_info: FieldInfo) -> forms.Field:
    """Optional field that shows the default as its placeholder."""
    annotation: Any = field_info.annotation
    shared: dict[str, Any] = {
        "label": _(field_info.title or ""),
        "help_text": _(field_info.description) if field_info.description else "",
        "required": False,
    }
    attrs = {"placeholder": _placeholder(field_info), "spellcheck": "false"}
    if annotation in (JMESPath, JMESPath | None):
        attrs["data-expression"] = "1"
    if field_info.discriminator:
        names = list(union_members(field_info))
        return forms.ChoiceField(choices=[(name, _TYPES[name]) for name in names], initial=names[0], **shared)
    values = get_args(getattr(annotation, "__value__", annotation))
    if values and all(isinstance(value, str) for value in values):
        names = ["", *values] if field_info.is_required() else list(values)
        choices = [(name, _CHOICES.get(name, name)) for name in names]
        return forms.ChoiceField(choices=choices, initial=names[0], **shared)
    if annotation is JsonBody:
        return BodyField(widget=forms.Textarea({"rows": 4, **attrs}), **shared)
    if is_whole_number(field_info):
        return forms.IntegerField(widget=forms.NumberInput({"class": "vIntegerField", **attrs}), **shared)
    if isinstance(field_info.default, bool):
        return forms.BooleanField(**shared)
    if isinstance(field_info.default, dict):
        shared["help_text"] = _("One pair a line: name, colon, value.")
        return PairsField(widget=forms.Textarea({"rows": 2, **attrs}), **shared)
    if isinstance(field_info.default, tuple):
        return NamesField(widget=forms.TextInput({"class": "vTextField", **attrs}), **shared)
    return forms.CharField(widget=forms.TextInput({"class": "vTextField", **attrs}), **shared)


def _help_of_kinds(connection: str, texts: Mapping[str, str]) -> SafeString:
    parts = ((f"{connection}={kind}", _(text)) for kind, text in texts.items() if text)
    return format_html_join(" ", '<span data-shown-for="{}">{}</span>', parts)


def _placeholder(field_info: FieldInfo) -> str:
    default = field_info.default
    if isinstance(default, Expression):
        return default.text
    return str(default) if isinstance(default, str | int) else ""


SIDES = (SideFields("source", SOURCES), SideFields("destination", DESTINATIONS))
