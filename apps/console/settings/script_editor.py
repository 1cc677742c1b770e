"""Field of a script: a textarea, which static/console/editor replaces by an editor, and the link to its versions."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.services.models import Service


class ScriptField(forms.CharField):
    """Source code as typed, with the line ends that scripts are written in."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, strip=False, **options)

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")
        return text if text.strip() else ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


def editor_attributes() -> dict[str, str]:
    """Attributes of the textarea: the texts of the editor in the active language."""
    return {"data-editor-texts": json.dumps(_texts()), "spellcheck": "false"}


def error_attributes(line: int, reason: str) -> dict[str, str]:
    """Attributes of the textarea for an error that the editor shows at its line."""
    return {"data-error-line": str(line), "data-error-message": reason}


def script_versions_link(service: Service) -> SafeString:
    url = reverse("admin:services_service_scripts", args=[service.pk])
    return format_html('<p><a href="{}">{}</a></p>', url, _("Script versions"))


def _texts() -> dict[str, Any]:
    """The hint below the editor, and CodeMirror's own texts."""
    return {
        "hint": _("Tab indents. To leave the editor, press Escape, then Tab."),
        "phrases": {
            "Control character": _("Control character"),
            "Find": _("Find"),
            "Go to line": _("Go to line"),
            "Replace": _("Replace"),
            "Selection deleted": _("Selection deleted"),
            "all": _("select all"),
            "by word": _("whole words"),
            "close": _("Close"),
            "current match": _("current match"),
            "go": _("Go"),
            "match case": _("match case"),
            "next": _("next"),
            "on line": _("in line"),
            "previous": _("previous"),
            "regexp": _("regular expression"),
            "replace": _("replace"),
            "replace all": _("replace all"),
            "replaced $ matches": _("replaced $ matches"),
            "replaced match on line $": _("replaced the match in line $"),
        },
    }
