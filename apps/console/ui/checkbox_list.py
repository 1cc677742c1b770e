"""Choice of several rows of a table."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

# A longer list has a field that filters it.
_MAX_WITHOUT_FILTER = 10


class CheckboxList(forms.CheckboxSelectMultiple):
    """Checkboxes in a box that scrolls; a long list can be filtered."""

    class Media:
        css = {"all": ("console/ui/checkbox-list.css",)}
        js = (forms.Script("console/ui/checkbox-list.js", type="module"),)

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        boxes = super().render(name, value, attrs, renderer)
        # To count the choices would take queries.
        count = boxes.count("<input ")
        if not count:
            return format_html('<p class="muted">{}</p>', _("None yet"))
        field: str | SafeString = ""
        if count > _MAX_WITHOUT_FILTER:
            # Shown by its module.
            field = format_html(
                '<input type="search" placeholder="{0}" aria-label="{0}" hidden>', _("Filter the list")
            )
        return format_html('<div class="checkbox-list">{}{}</div>', field, boxes)
