"""The settings of a connection; a secret goes in here and never comes out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.local_folder import confined
from apps.services.definition.connection_url import validate_address
from apps.services.definition.sign_in import SignIn
from apps.services.models import Connection

# How the fields are called whose name is not that of the sign-in's own.
_FIELDS = {"type": "auth", "username": "auth_username", "header": "auth_header"}


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """Address, patience and sign-in of another system."""

    secret = forms.CharField(
        label=gettext_lazy("Secret"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    forget_secret = forms.BooleanField(label=gettext_lazy("Forget the stored secret"), required=False)

    class Meta:
        model = Connection
        fields = (
            "name",
            "kind",
            "url",
            "connect_timeout",
            "read_timeout",
            "auth",
            "auth_username",
            "auth_header",
            "secret_env",
        )
        help_texts = {
            "name": gettext_lazy("How services and YAML files call it."),
            "url": gettext_lazy(
                "Its address: http://127.0.0.1:3000, https://…; files: file:///srv/drop, s3://…"
            ),
            "connect_timeout": gettext_lazy("How long to wait until the system takes the call."),
            "read_timeout": gettext_lazy("How long to wait for more of an answer."),
            "auth_username": gettext_lazy("For “user and password”."),
            "auth_header": gettext_lazy("For “header of its own”, such as X-Api-Key."),
            "secret_env": gettext_lazy(
                "The name of a variable that holds the secret where the workers run, such as SHOP_TOKEN. "
                "Instead of a stored one."
            ),
        }

    class Media:
        css = {"all": ("console/settings-form.css",)}
        js = (forms.Script("console/settings-form.js", type="module"),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        has_stored = bool(self.instance.secret_encrypted)
        self.fields["secret"].help_text = (
            _("A secret is stored. Leave this empty to keep it; it is never shown.")
            if has_stored
            else _("Token or password. It is encrypted, and never shown again.")
        )
        if not has_stored:
            del self.fields["forget_secret"]
        for name, condition in (
            ("auth_username", "auth=basic"),
            ("auth_header", "auth=header"),
            ("secret", "auth=bearer,basic,header"),
            ("secret_env", "auth=bearer,basic,header"),
        ):
            # Who may only look has no fields.
            if name in self.fields:
                self.fields[name].widget.attrs["data-shown-for"] = condition

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        kind, auth = cleaned.get("kind", ""), cleaned.get("auth", "")
        if kind and (url := cleaned.get("url")):
            self._refuse_bad_address(kind, url)
        if auth:
            self._refuse_bad_sign_in(cleaned, kind)
        return cleaned

    def save(self, commit: bool = True) -> Connection:
        if secret := self.cleaned_data.get("secret"):
            self.instance.set_secret(secret)
        elif self.cleaned_data.get("forget_secret"):
            self.instance.set_secret("")
        connection: Connection = super().save(commit)
        return connection

    def _refuse_bad_address(self, kind: str, url: str) -> None:
        try:
            validate_address(kind, url)
        except ValidationError as error:
            self.add_error("url", error)
            return
        if url.startswith("file://"):
            try:
                confined(Path(url.removeprefix("file://")))
            except ConnectorError as error:
                self.add_error("url", str(error))

    def _refuse_bad_sign_in(self, cleaned: dict[str, Any], kind: str) -> None:
        secret, forgets = cleaned.get("secret", ""), cleaned.get("forget_secret", False)
        sign_in = SignIn(
            type=cleaned["auth"],
            username=cleaned.get("auth_username", ""),
            header=cleaned.get("auth_header", ""),
            secret_env=cleaned.get("secret_env", ""),
            secret=secret,
        )
        has_stored = bool(self.instance.secret_encrypted) and not forgets
        for field, reason in sign_in.faults(kind, has_stored=has_stored).items():
            self.add_error(_FIELDS.get(field, field), reason)
        if secret and forgets:
            self.add_error("forget_secret", _("Enter a new secret or forget the stored one, not both."))
