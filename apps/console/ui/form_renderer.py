"""Rendering of form fields."""

from __future__ import annotations

from typing import Any

from django.forms.renderers import DjangoTemplates
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class FormRenderer(DjangoTemplates):
    """Renders the usual widgets without templates: a page with many fields takes half the time."""

    def render(
        self, template_name: str, context: dict[str, Any], request: HttpRequest | None = None
    ) -> SafeString:
        widget = context.get("widget", {})
        match template_name.removeprefix("django/forms/widgets/"):
            case "text.html" | "number.html" | "checkbox.html" | "hidden.html" | "password.html":
                attributes = _attributes(widget, type=widget["type"], value=widget["value"])
                return format_html("<input{}>", attributes)
            case "textarea.html":
                return format_html("<textarea{}>\n{}</textarea>", _attributes(widget), widget["value"] or "")
            case "select.html" if all(name is None for name, _group, _index in widget["optgroups"]):
                options = [option for _name, group, _index in widget["optgroups"] for option in group]
                return format_html("<select{}>{}</select>", _attributes(widget), _options(options))
            case _:
                return SafeString(super().render(template_name, context, request))


def _options(options: list[dict[str, Any]]) -> SafeString:
    rows = ((flatatt({"value": str(each["value"]), **each["attrs"]}), each["label"]) for each in options)
    return format_html_join("", "<option{}>{}</option>", rows)


def _attributes(widget: dict[str, Any], **first: Any) -> SafeString:
    return flatatt({**first, "name": widget["name"], **widget["attrs"]})
