"""Settings form of a connection. A secret is entered here and never shown again."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.settings.connection_fields import (
    AUTH_FIELDS,
    FIELD_OF_KEY,
    HTTP_FIELDS,
    REFRESH_TOKEN_FIELDS,
    SHOWN_FOR,
    TOKEN_FIELDS,
)
from apps.console.settings.edit_conflict import EditConflictForm
from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.local_folder import confined
from apps.services.connectors.http.client import is_same_system
from apps.services.definition.connections import read_connection
from apps.services.models import Connection, HostKey


class SecretTextarea(forms.Textarea):
    """Text of several lines that is never shown again."""

    def format_value(self, value: Any) -> str:
        return ""


class ConnectionForm(EditConflictForm):
    """Address, timeouts and authentication of a connection."""

    secret_columns = {
        "secret": "secret_encrypted",
        "private_key": "secret_encrypted",
        "passphrase": "passphrase_encrypted",
        "refresh_token": "refresh_token_encrypted",
        "remove_secret": "secret_encrypted",
    }

    secret = forms.CharField(
        label=gettext_lazy("Secret"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    private_key = forms.CharField(
        label=gettext_lazy("Private key"),
        required=False,
        strip=False,
        widget=SecretTextarea(
            attrs={"autocomplete": "off", "spellcheck": "false", "rows": 6, "class": "vLargeTextField"}
        ),
    )
    passphrase = forms.CharField(
        label=gettext_lazy("Passphrase"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    refresh_token = forms.CharField(
        label=gettext_lazy("Refresh token"),
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    remove_secret = forms.BooleanField(label=gettext_lazy("Remove stored secret"), required=False)
    forget_host_key = forms.BooleanField(
        label=gettext_lazy("Forget host key"),
        required=False,
        help_text=gettext_lazy("The next run remembers the key that the server presents then."),
    )

    class Meta:
        model = Connection
        fields = (
            "name",
            "kind",
            "url",
            "connect_timeout",
            "read_timeout",
            *HTTP_FIELDS,
            "auth",
            "auth_username",
            "auth_header",
            "auth_query",
            "auth_grant",
            "auth_token_url",
            "auth_client_id",
            "auth_scope",
            "refresh_token_env",
            "secret_env",
            "passphrase_env",
        )

    class Media:
        css = {"all": ("console/settings/form.css",)}
        js = (forms.Script("console/settings/form.js", type="module"),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_stored_secret = bool(self.instance.secret_encrypted)
        # The instance receives the values of the form before they are validated.
        self._stored = copy(self.instance)
        self.fields["secret"].help_text = (
            _("A secret is stored and never shown. Leave this empty to keep it.")
            if self._has_stored_secret
            else _("Token or password. It is stored encrypted and never shown again.")
        )
        self.fields["private_key"].help_text = (
            _("A private key is stored and never shown. Leave this empty to keep it.")
            if self._has_stored_secret and self.instance.auth == Connection.Auth.KEY
            else _(
                "In PEM or OpenSSH form: Ed25519, RSA or ECDSA. It is stored encrypted and never shown again."
            )
        )
        self.fields["passphrase"].help_text = (
            _("A passphrase is stored and never shown. Leave this empty to keep it.")
            if self.instance.passphrase_encrypted
            else _("Only if the private key has one. It is stored encrypted and never shown again.")
        )
        if "auth_grant" in self.fields:
            self.fields["auth_grant"].required = False
        self.fields["refresh_token"].help_text = (
            _("A refresh token is stored and never shown. Leave this empty to keep it.")
            if self.instance.refresh_token_encrypted
            else _("It is stored encrypted, and replaced when the other system sends a new one.")
        )
        if not self._has_stored_secret:
            del self.fields["remove_secret"]
        for name, condition in SHOWN_FOR.items():
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
        if self._would_send_stored_secret_elsewhere(cleaned):
            self.add_error(
                "secret",
                _("The address leads to another system; enter the secret again, or name a variable."),
            )
        if self._entered_secret(cleaned) and cleaned.get("remove_secret"):
            self.add_error("remove_secret", _("Enter a new secret or remove the stored one, not both."))
        return cleaned

    def save(self, commit: bool = True) -> Connection:
        self._set_secrets()
        if self.cleaned_data.get("forget_host_key"):
            HostKey.objects.filter(host=self._stored.ssh_host).delete()
        connection: Connection = super().save(commit)
        return connection

    def unsaved_connection(self) -> Connection:
        """The connection with the values of the form, of which only the name may be invalid."""
        self._set_secrets()
        connection: Connection = copy(self.instance)
        connection.name = connection.name or _("new")
        if connection.pk is None or not TOKEN_FIELDS.isdisjoint(self.changed_data):
            # The tokens of the stored connection are not used or replaced.
            connection._state.adding = True
            # Its rate counts per stored connection.
            connection.requests_per_minute = None
        return connection

    def _set_secrets(self) -> None:
        if secret := self._entered_secret(self.cleaned_data):
            self.instance.set_secret(secret)
        elif self.cleaned_data.get("remove_secret"):
            self.instance.set_secret("")
        if self.cleaned_data["auth"] != Connection.Auth.KEY:
            self.instance.set_passphrase("")
            self.instance.passphrase_env = ""
        elif passphrase := self.cleaned_data.get("passphrase"):
            self.instance.set_passphrase(passphrase)
        elif self.cleaned_data.get("remove_secret"):
            self.instance.set_passphrase("")
        uses_refresh_token = (
            self.instance.auth == Connection.Auth.OAUTH2
            and self.instance.auth_grant == Connection.Grant.REFRESH_TOKEN
            and not self.instance.refresh_token_env
        )
        if not uses_refresh_token:
            self.instance.set_refresh_token("")
        elif token := self.cleaned_data.get("refresh_token"):
            self.instance.set_refresh_token(token)

    def _would_send_stored_secret_elsewhere(self, cleaned: dict[str, Any]) -> bool:
        """Whether another system would get the secret that nobody may read here."""
        stored, auth = self._stored, cleaned.get("auth")
        is_replaced = (
            self._entered_secret(cleaned) or cleaned.get("secret_env") or cleaned.get("remove_secret")
        )
        if not self._has_stored_secret or is_replaced or auth in (Connection.Auth.NONE, Connection.Auth.KEY):
            return False
        token_url = cleaned.get("auth_token_url") or ""
        return not is_same_system(stored.url, cleaned.get("url") or "") or (
            auth == Connection.Auth.OAUTH2 and not is_same_system(stored.auth_token_url, token_url)
        )

    def _entered_secret(self, cleaned: dict[str, Any]) -> str:
        name = "private_key" if cleaned.get("auth") == Connection.Auth.KEY else "secret"
        return cleaned.get(name) or ""

    def _validate_options(self, cleaned: dict[str, Any]) -> None:
        auth = {"type": cleaned.get("auth")}
        if auth["type"] != Connection.Auth.NONE:
            names = {
                "secret": "secret",
                "secret_env": "secret_env",
                **AUTH_FIELDS.get(auth["type"] or "", {}),
            }
            if auth["type"] == "oauth2" and cleaned.get("auth_grant") == Connection.Grant.REFRESH_TOKEN:
                names |= REFRESH_TOKEN_FIELDS
            auth |= {key: cleaned.get(name) for key, name in names.items()}
        data = {
            "kind": cleaned["kind"],
            "url": cleaned.get("url"),
            "connect_timeout": cleaned.get("connect_timeout"),
            "read_timeout": cleaned.get("read_timeout"),
            "auth": auth,
        }
        if cleaned["kind"] == Connection.Kind.HTTP:
            data |= {name: cleaned.get(name) for name in HTTP_FIELDS}
        try:
            read_connection(data, stored=None if cleaned.get("remove_secret") else self._stored)
        except ValidationError as error:
            for key, messages in error.message_dict.items():
                name = FIELD_OF_KEY.get(key, key)
                if name == "secret" and auth["type"] == Connection.Auth.KEY:
                    name = "private_key"
                if name not in self.errors:
                    self.add_error(name, messages)

    def _validate_folder(self, url: str) -> None:
        try:
            confined(Path(url.removeprefix("file://")))
        except ConnectorError as error:
            self.add_error("url", str(error))
