"""Two users edit the same row: the second one is warned, and takes over what only the first one has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, ClassVar

from django import forms
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.audit.masking import MASK
from apps.console.settings.script_diff import diff_lines

# The log entry of a save follows in the same transaction.
_LOG_DELAY = timedelta(seconds=5)
_MAX_DIFF_LINES = 60


class VersionField(forms.CharField):
    """A digest of each value that the user has read."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        super().__init__(required=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


@dataclass(frozen=True)
class Difference:
    """A value that was changed meanwhile, before and after the next save; `diff` if it has several lines."""

    label: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        if "\n" not in self.before + self.after:
            return ""
        signs = {"same": " ", "removed": "-", "added": "+", "gap": "…"}
        lines = [signs[line.kind] + line.text for line in diff_lines(self.before, self.after)]
        return "\n".join([*lines[:_MAX_DIFF_LINES], "…"] if len(lines) > _MAX_DIFF_LINES else lines).rstrip()


class EditConflictForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """Form that refuses once to overwrite what others have saved since it was opened.

    Values that only others have changed are taken over into the form.
    """

    # Columns of the fields that are never shown.
    secret_columns: ClassVar[Mapping[str, str]] = {}
    # Columns that runs change: unless edited, they stay as they are stored.
    columns_of_runs: ClassVar[tuple[str, ...]] = ()
    # Other uses of the form, such as a preview, overwrite nothing. Set by the admin.
    is_saving = False
    # Message that the row was deleted. Set by the admin.
    deletion = ""

    version = VersionField()

    class Media:
        css: ClassVar[Any] = {"all": ("console/settings/conflict.css", "console/settings/session.css")}
        js: ClassVar[Any] = (forms.Script("console/settings/session.js", type="module"),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What was sent for the fields that only others have changed.
        self._taken_over: dict[str, Any] = {}
        if self.is_bound:
            self._take_over()

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        if isinstance(field, VersionField):
            return " ".join(f"{name}:{digest}" for name, digest in self._stored_digests.items())
        return super().get_initial_for_field(field, field_name)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.deletion:
            self._set("version", "")
            self.add_error(None, ValidationError(self.deletion, code="deleted"))
        replaced, taken_over = self._differences()
        if self.is_saving and (replaced or taken_over):
            # The next attempt overwrites what is shown now.
            self._set("version", self["version"].initial)
            context = {"replaced": replaced, "taken_over": taken_over, **_last_save(self.instance)}
            message = render_to_string("console/settings/edit_conflict.html", context)
            self.add_error(None, ValidationError(message, code="conflict"))
        return cleaned

    def full_label(self, name: str) -> str:
        """Label of a field for a message."""
        return str(self[name].label)

    @property
    def _read_digests(self) -> dict[str, str] | None:
        """Digests by field, as the form was sent; None for a new row and for clients that send none."""
        text = self.data.get(self.add_prefix("version"))
        if text is None or not self.instance.pk:
            return None
        return dict(part.split(":", 1) for part in text.split() if ":" in part)

    @property
    def _stored_digests(self) -> dict[str, str]:
        """Digests of the stored values by field, without empty ones."""
        if not self.instance.pk:
            return {}
        digests = {name: _digest(self._stored_value(name)) for name in self.fields if name != "version"}
        return {name: digest for name, digest in digests.items() if digest}

    @property
    def _changed_by_others(self) -> list[str]:
        if self._read_digests is None:
            return []
        stored, read = self._stored_digests, self._read_digests
        return [name for name in self.fields if stored.get(name, "") != read.get(name, "")]

    def _stored_value(self, name: str) -> Any:
        if column := self.secret_columns.get(name):
            return getattr(self.instance, column)
        return self.fields[name].prepare_value(self.get_initial_for_field(self.fields[name], name))

    def _sent_value(self, name: str) -> Any:
        widget = self.fields[name].widget
        return widget.value_from_datadict(self.data, self.files, self.add_prefix(name))

    def _take_over(self) -> None:
        """Sets the fields that were sent as they were read to what others have saved meanwhile."""
        read = self._read_digests or {}
        for name in self._changed_by_others:
            sent = self._sent_value(name)
            if name in self.secret_columns or _digest(sent) != read.get(name, ""):
                continue
            if name in self.columns_of_runs:
                self._set(name, self._stored_value(name))
            elif self.is_saving:
                self._set(name, self._stored_value(name))
                self._taken_over[name] = sent

    def _differences(self) -> tuple[list[Difference], list[Difference]]:
        """The stored values that a save would replace, and those that were taken over."""
        replaced = [
            # The page does not show what was entered.
            Difference(self.full_label(name), MASK, _("Enter it again."))
            if name in self.secret_columns
            else self._difference(name, self._stored_value(name), self[name].data)
            for name in self._changed_by_others
            if name in self.changed_data
        ]
        taken_over = [
            self._difference(name, before, self._stored_value(name))
            for name, before in self._taken_over.items()
        ]
        return replaced, taken_over

    def _difference(self, name: str, before: Any, after: Any) -> Difference:
        field = self.fields[name]
        return Difference(self.full_label(name), _shown(field, before), _shown(field, after))

    def _set(self, name: str, value: Any) -> None:
        """Sets what the client has sent for a field."""
        data: Any = self.data
        data = data.copy()
        key = self.add_prefix(name)
        if value is None or value is False:
            # As a browser sends it.
            data.pop(key, None)
        elif isinstance(value, list | tuple) and hasattr(data, "setlist"):
            data.setlist(key, [*map(str, value)])
        else:
            data[key] = value
        self.data = data


def _digest(value: Any) -> str:
    """A short digest of the value of a field, the same for what is stored and what a browser sends for it."""
    if value in (None, "", False, [], ()):
        return ""
    parts = sorted(map(str, value)) if isinstance(value, list | tuple) else [str(value)]
    return sha256("\0".join(parts).replace("\r\n", "\n").encode(errors="replace")).hexdigest()[:10]


def _shown(field: forms.Field, value: Any) -> str:
    """The value as the form shows it."""
    if isinstance(field, forms.BooleanField):
        return _("Yes") if value else _("No")
    values = [
        part for part in (value if isinstance(value, list | tuple) else [value]) if part not in (None, "")
    ]
    labels = {str(key): str(label) for key, label in getattr(field, "choices", ())}
    text = ", ".join(labels.get(str(part), str(part)) for part in values)
    return text.replace("\r\n", "\n") or "–"


def _last_save(row: Any) -> dict[str, Any]:
    """When the row was saved, and by whom if it was in the console."""
    entries = LogEntry.objects.filter(
        content_type__app_label=row._meta.app_label,
        content_type__model=row._meta.model_name,
        object_id=str(row.pk),
        action_time__range=(row.updated_at, row.updated_at + _LOG_DELAY),
        # Not the test of a connection or a preview, which are logged as text.
        change_message__startswith="[",
    )
    entry = entries.select_related("user").order_by("action_time").first()
    user = name_of(entry.user) if entry else ""
    return {"saved_at": row.updated_at, "saved_by": user}


def name_of(user: Any) -> str:
    return str(user.get_short_name() or user.get_username())
