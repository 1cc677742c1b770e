"""Settings form of a channel. A secret is entered here and never shown again."""

from __future__ import annotations

from copy import copy
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.alerts.channels.definition import fields_of_channel, read_channel
from apps.alerts.models import Channel
from apps.console.settings.edit_conflict import EditConflictForm

# Fields of each kind by option.
_FIELDS: dict[str, dict[str, str]] = {
    "email": {"to": "to"},
    "apprise": {"url": "apprise_url", "url_env": "secret_env"},
    "webhook": {"url": "url", "secret": "secret", "secret_env": "secret_env"},
}


class AddressesField(forms.CharField):
    """A list of addresses, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        return (super().to_python(value) or "").replace(",", "\n").split()

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


def _secret_field(label: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"})
    return forms.CharField(label=label, required=False, widget=widget)


class ChannelForm(EditConflictForm):
    """Kind, recipients and language of a channel."""

    secret_columns = {"secret": "secret_encrypted", "apprise_url": "secret_encrypted"}

    to = AddressesField(
        label=gettext_lazy("Addresses"),
        required=False,
        help_text=gettext_lazy("One address a line. Each of them gets every message."),
    )
    secret = _secret_field(gettext_lazy("Secret"))
    apprise_url = _secret_field(gettext_lazy("Apprise URL"))

    class Meta:
        model = Channel
        fields = ("name", "kind", "to", "url", "secret_env", "language", "is_active")

    class Media:
        css = {"all": ("console/settings/form.css",)}
        js = (forms.Script("console/settings/form.js", type="module"),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The instance receives the values of the form before they are validated.
        self._stored = copy(self.instance)
        if "secret" in self.fields:
            is_stored = bool(self.instance.secret_encrypted)
            self.fields["secret"].help_text = (
                _("A secret is stored and never shown. Leave this empty to keep it.")
                if is_stored and self.instance.kind == Channel.Kind.WEBHOOK
                else _(
                    "Signs the requests: whsec_ and 24 to 64 random bytes in Base64. It is stored encrypted."
                )
            )
            self.fields["apprise_url"].help_text = (
                _("A URL is stored and never shown. Leave this empty to keep it.")
                if is_stored and self.instance.kind == Channel.Kind.APPRISE
                else _("Address of the service for Apprise, such as slack://…. It is stored encrypted.")
            )
        for name, condition in (
            ("to", "kind=email"),
            ("url", "kind=webhook"),
            ("secret", "kind=webhook"),
            ("apprise_url", "kind=apprise"),
            ("secret_env", "kind=apprise,webhook"),
        ):
            # The form has no fields for users who may only view it.
            if name in self.fields:
                self.fields[name].widget.attrs["data-shown-for"] = condition

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if fields := _FIELDS.get(cleaned.get("kind") or ""):
            data = {"kind": cleaned["kind"], "language": cleaned.get("language")}
            data |= {option: cleaned.get(name) for option, name in fields.items()}
            data["is_active"] = cleaned.get("is_active")
            try:
                self._description = read_channel(data, stored=self._stored)
            except ValidationError as error:
                for key, messages in error.message_dict.items():
                    self.add_error(fields.get(key, key) if key else None, messages)
        return cleaned

    def save(self, commit: bool = True) -> Channel:
        for name, value in fields_of_channel(self._stored, self._description).items():
            setattr(self.instance, name, value)
        channel: Channel = super().save(commit)
        return channel
