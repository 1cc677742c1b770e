"""One connection from its description in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from apps.services.definition.connection_url import validate_address
from apps.services.definition.loaded_rows import Outcome, assign, outcome_of, validate
from apps.services.definition.option_values import OptionValues
from apps.services.definition.sign_in import SignIn
from apps.services.models import Connection
from apps.services.secrets import SecretUnavailable, decrypt, encrypt

_KEYS = ("kind", "base_url", "url", "auth", "connect_timeout", "read_timeout")
_AUTH_KEYS = {
    "none": (),
    "bearer": ("secret_env", "secret"),
    "basic": ("username", "secret_env", "secret"),
    "header": ("header", "secret_env", "secret"),
}
# How the model's fields are called in YAML.
_KEY_OF_FIELD = {
    "auth": "auth.type",
    "auth_username": "auth.username",
    "auth_header": "auth.header",
    "secret_env": "auth.secret_env",
}


def connection_from(name: str, data: Mapping[str, Any]) -> Outcome:
    """Creates or updates the connection `name`. Raises ValidationError by key."""
    connection = Connection.objects.filter(name=name).first() or Connection(name=name)
    values = OptionValues(data, _KEYS)
    kind = values.choice("kind", Connection.Kind.values)
    url = _address(values, data, kind)
    sign_in = _sign_in(values, data, kind, keeps_secret=bool(connection.secret_encrypted))
    fields = {
        "kind": kind,
        "url": url,
        "connect_timeout": values.number("connect_timeout", 5, least=0.1, most=120),
        "read_timeout": values.number("read_timeout", 30, least=0.1, most=3600),
        "auth": sign_in.type,
        "auth_username": sign_in.username,
        "auth_header": sign_in.header,
        "secret_env": sign_in.secret_env,
        "secret_encrypted": _encrypted(connection, sign_in),
    }
    values.raise_errors()
    outcome = outcome_of(connection, changed=assign(connection, fields))
    validate(connection, _KEY_OF_FIELD | {"url": "base_url" if "base_url" in data else "url"})
    if outcome != "unchanged":
        connection.save()
    return outcome


def _address(values: OptionValues, data: Mapping[str, Any], kind: str) -> str:
    key = "base_url" if kind == Connection.Kind.HTTP and "url" not in data else "url"
    if "base_url" in data and key == "url":
        values.refuse("base_url", _("Write “base_url” for kind http or “url” for kind file, not both."))
    url = values.text(key, required=True)
    if url and kind:
        try:
            validate_address(kind, url)
        except ValidationError as error:
            values.refuse(key, " ".join(error.messages))
    return url


def _sign_in(values: OptionValues, data: Mapping[str, Any], kind: str, *, keeps_secret: bool) -> SignIn:
    auth = data.get("auth")
    if isinstance(auth, str):
        auth = {"type": auth}
    elif auth is not None:
        auth = values.mapping("auth")
    own = OptionValues(auth or {}, _known_keys(auth or {}), heading="auth.")
    sign_in = SignIn(
        type=own.choice("type", Connection.Auth.values, "none"),
        username=own.text("username"),
        header=own.text("header"),
        secret_env=own.text("secret_env"),
        secret=own.text("secret"),
    )
    # Of values that could not be read there is nothing more to say.
    if not own.errors:
        for key, reason in sign_in.faults(kind, has_stored=keeps_secret).items():
            own.refuse(key, reason)
    values.errors.update(own.errors)
    return sign_in


def _known_keys(auth: Mapping[str, Any]) -> set[str]:
    every = {key for keys in _AUTH_KEYS.values() for key in keys}
    return {"type", *_AUTH_KEYS.get(str(auth.get("type", "none")), every)}


def _encrypted(connection: Connection, sign_in: SignIn) -> str:
    """What the row is to hold as the encrypted secret; the same text where the secret has not changed."""
    if sign_in.type == "none" or sign_in.secret_env:
        return ""
    if not sign_in.secret:
        return connection.secret_encrypted
    try:
        if connection.secret_encrypted and decrypt(connection.secret_encrypted) == sign_in.secret:
            return connection.secret_encrypted
    except SecretUnavailable:
        # The key has changed: the secret is encrypted anew.
        pass
    return encrypt(sign_in.secret)
