"""Form fields for what Django has none for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _


class PairsField(forms.CharField):
    """Names with their values, a line each as in `limit: 100`; cleaned to a dict."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{name}: {text}" for name, text in value.items())
        return value

    def clean(self, value: Any) -> dict[str, str]:
        """Raises ValidationError with the number of the first faulty line."""
        pairs: dict[str, str] = {}
        for number, line in enumerate(str(super().clean(value)).splitlines(), start=1):
            if not line.strip():
                continue
            name, colon, text = (part.strip() for part in line.partition(":"))
            if not colon or not name:
                raise ValidationError(
                    _("Line %(number)d is no pair; write a name, a colon and a value, as in limit: 100."),
                    params={"number": number},
                )
            if name in pairs:
                raise ValidationError(
                    _("Line %(number)d gives “%(name)s” a second value; keep one."),
                    params={"number": number, "name": name},
                )
            pairs[name] = text
        return pairs

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class SourceCodeField(forms.CharField):
    """Program text as it was typed; browsers send CR LF, which no script is written in."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, strip=False, **options)

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")
        return text if text.strip() else ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))
