"""Rows of admin forms: the HTML of Django's templates, of which the fields that requests share are cached."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.helpers import Fieldline, Fieldset
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextInputWidget
from django.forms.boundfield import BoundField
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language

# Most fields of a form are empty or have one of few choices, and look the same in every request.
_CACHED_WIDGETS = (
    forms.TextInput,
    forms.NumberInput,
    forms.Textarea,
    forms.CheckboxInput,
    AdminTextInputWidget,
    AdminIntegerFieldWidget,
)
_MAX_BOXES = 2000
_shared_boxes: dict[tuple[Any, ...], SafeString] = {}


def form_rows(fieldset: Fieldset) -> SafeString:
    """The rows of a fieldset, each with one or several fields."""
    return mark_safe("".join(map(_row, fieldset)))  # noqa: S308  # Rows are escaped.


def _row(line: Fieldline) -> SafeString:
    fields = [*line]
    is_single = len(fields) == 1
    classes = ["form-row"]
    if not is_single:
        classes.append("flex-container form-multiline")
    if not line.has_visible_field:
        classes.append("hidden")
    classes += [f"field-{name}" for field in fields if (name := _attribute(field, "name"))]
    boxes = format_html_join("", "{}", ((_box(field, is_single=is_single),) for field in fields))
    return format_html('<div class="{}">{}</div>', " ".join(classes), boxes)


def _box(field: Any, *, is_single: bool) -> SafeString:
    """Label, help text, errors and widget of a field, from the cache if requests share them."""
    key = None if field.is_readonly else _cache_key(field.field)
    if key is None:
        return _render_box(field, is_single=is_single)
    key = (get_language(), is_single, *key)
    if (html := _shared_boxes.get(key)) is None:
        if len(_shared_boxes) >= _MAX_BOXES:
            _shared_boxes.clear()
        html = _shared_boxes[key] = _render_box(field, is_single=is_single)
    return html


def _cache_key(bound: BoundField) -> tuple[Any, ...] | None:
    """All that the HTML of the field depends on; None if it has an error or a value of the row."""
    field: Any = bound.field
    value = bound.value()
    if type(field.widget) in _CACHED_WIDGETS:
        is_shared, choices = value is None or value is False or value == "", []
    elif type(field) in (forms.ChoiceField, forms.TypedChoiceField) and type(field.widget) is forms.Select:
        choices = [str(key) for key, _label in field.choices]
        is_shared = value is None or str(value) in choices
    else:
        return None
    if not is_shared or bound.errors:
        return None
    definition = (bound.html_name, bound.label, bound.help_text, field.required, field.disabled, value)
    return (type(field.widget), *map(str, definition), *choices, *field.widget.attrs.items())


def _render_box(field: Any, *, is_single: bool) -> SafeString:
    name, html_id = _attribute(field, "name"), _attribute(field, "id_for_label")
    is_hidden, help_text = _attribute(field, "is_hidden"), _attribute(field, "help_text")
    errors = field.errors() if not field.is_readonly and field.field.errors else ""
    classes = ["flex-container"]
    if not is_single:
        classes.append(f"fieldBox field-{name}" if name else "fieldBox")
    for has_class, each in ((is_hidden, "hidden"), (errors, "errors"), (field.is_checkbox, "checkbox-row")):
        if has_class:
            classes.append(each)
    help_html = ""
    if help_text:
        help_html = format_html(
            '<div class="help{}"{}><div>{}</div></div>',
            " hidden" if is_hidden else "",
            format_html(' id="{}_helptext"', html_id) if html_id else "",
            mark_safe(help_text),  # noqa: S308  # May contain HTML, as in Django's templates.
        )
    before: Any = ""
    after: Any = ""
    if field.is_checkbox:
        before = format_html('<div class="checkbox">{}{}</div>', field.field, field.label_tag())
    elif field.is_readonly:
        before, after = field.label_tag(), format_html('<div class="readonly">{}</div>', field.contents())
    else:
        before = "" if field.is_fieldset else _label(field)
        after = field.field.as_widget()
    box = format_html('<div class="{}">{}{}{}{}</div>', " ".join(classes), before, help_html, errors, after)
    if getattr(field, "is_fieldset", False):
        described = format_html(' aria-describedby="{}_helptext"', html_id) if help_text else ""
        return format_html("<fieldset{}>{}{}</fieldset>", described, field.label_tag(), box)
    return box


def _label(field: Any) -> SafeString:
    bound = field.field
    if not bound.id_for_label:
        return SafeString(field.label_tag())
    return format_html(
        '<label for="{}"{}>{}:</label>',
        bound.id_for_label,
        mark_safe(' class="required"') if bound.field.required else "",
        capfirst(bound.label),
    )


def _attribute(field: Any, name: str) -> Any:
    """An attribute of the bound field; a field that is read-only has a dict in its place."""
    return field.field.get(name) if field.is_readonly else getattr(field.field, name)
