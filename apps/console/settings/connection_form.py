"""Settings form of a connection. A secret is entered here and never shown again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.local_folder import confined
from apps.services.definition.connections import read_connection
from apps.services.models import Connection

# Fields whose name differs from the key of the option.
_FIELD_OF_KEY = {
    "base_url": "url",
    "auth.type": "auth",
    "auth.username": "auth_username",
    "auth.header": "auth_header",
    "auth.query": "auth_query",
    "auth.secret": "secret",
    "auth.secret_env": "secret_env",
}
# Fields of each kind of authentication, beside the secret.
_AUTH_FIELDS = {
    "basic": {"username": "auth_username"},
    "header": {"header": "auth_header"},
    "query": {"query": "auth_query"},
}


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """Address, timeouts and authentication of a connection."""

    secret = forms.CharField(
        label=gettext_lazy("Secret"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    remove_secret = forms.BooleanField(label=gettext_lazy("Remove stored secret"), required=False)

    class Meta:
        model = Connection
        fields = (
            "name",
            "kind",
            "url",
            "connect_timeout",
            "read_timeout",
            "requests_per_minute",
            "auth",
            "auth_username",
            "auth_header",
            "auth_query",
            "secret_env",
        )

    class Media:
        css = {"all": ("console/settings/form.css",)}
        js = (forms.Script("console/settings/form.js", type="module"),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_stored_secret = bool(self.instance.secret_encrypted)
        self.fields["secret"].help_text = (
            _("A secret is stored and never shown. Leave this empty to keep it.")
            if self._has_stored_secret
            else _("Token or password. It is stored encrypted and never shown again.")
        )
        if not self._has_stored_secret:
            del self.fields["remove_secret"]
        for name, condition in (
            ("requests_per_minute", "kind=http"),
            ("auth_username", "auth=basic"),
            ("auth_header", "auth=header"),
            ("auth_query", "auth=query"),
            ("secret", "auth=bearer,basic,header,query"),
            ("secret_env", "auth=bearer,basic,header,query"),
        ):
            # The form has no fields for users who may only view it.
            if name in self.fields:
                self.fields[name].widget.attrs["data-shown-for"] = condition

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("kind"):
            self._validate_options(cleaned)
        if cleaned.get("url", "").startswith("file://"):
            self._validate_folder(cleaned["url"])
        if cleaned.get("secret") and cleaned.get("auth") == Connection.Auth.NONE:
            self.add_error("secret", _("Not used without authentication; choose one, or leave this empty."))
        if cleaned.get("secret") and cleaned.get("remove_secret"):
            self.add_error("remove_secret", _("Enter a new secret or remove the stored one, not both."))
        return cleaned

    def save(self, commit: bool = True) -> Connection:
        if secret := self.cleaned_data.get("secret"):
            self.instance.set_secret(secret)
        elif self.cleaned_data.get("remove_secret"):
            self.instance.set_secret("")
        connection: Connection = super().save(commit)
        return connection

    def _validate_options(self, cleaned: dict[str, Any]) -> None:
        auth = {"type": cleaned.get("auth")}
        if auth["type"] != Connection.Auth.NONE:
            names = {
                "secret": "secret",
                "secret_env": "secret_env",
                **_AUTH_FIELDS.get(auth["type"] or "", {}),
            }
            auth |= {key: cleaned.get(name) for key, name in names.items()}
        has_stored_secret = self._has_stored_secret and not cleaned.get("remove_secret")
        data = {
            "kind": cleaned["kind"],
            "url": cleaned.get("url"),
            "connect_timeout": cleaned.get("connect_timeout"),
            "read_timeout": cleaned.get("read_timeout"),
            "auth": auth,
        }
        if cleaned["kind"] == Connection.Kind.HTTP:
            data["requests_per_minute"] = cleaned.get("requests_per_minute")
        try:
            read_connection(data, has_stored_secret=has_stored_secret)
        except ValidationError as error:
            for key, messages in error.message_dict.items():
                name = _FIELD_OF_KEY.get(key, key)
                if name not in self.errors:
                    self.add_error(name, messages)

    def _validate_folder(self, url: str) -> None:
        try:
            confined(Path(url.removeprefix("file://")))
        except ConnectorError as error:
            self.add_error("url", str(error))
