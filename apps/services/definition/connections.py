"""Description of a connection, as in a YAML file, and its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from apps.services.definition.authentication import (
    BasicAuth,
    BearerAuth,
    HeaderAuth,
    KeyAuth,
    NoAuth,
    OAuth2Auth,
    QueryAuth,
    check_file_address,
    check_http_address,
)
from apps.services.definition.option_errors import choice_message, read_options
from apps.services.definition.option_types import Number, Options, Text, WholeNumber
from apps.services.definition.rows import Outcome, assign, column, outcome_of, validate
from apps.services.models import Connection
from apps.services.models.connection import SSH_SCHEMES
from apps.services.secrets import reencrypted

# Keys of the description whose model field has another name.
KEY_OF_FIELD = {
    "auth": "auth.type",
    "auth_username": "auth.username",
    "auth_header": "auth.header",
    "auth_query": "auth.query",
    "auth_grant": "auth.grant",
    "auth_token_url": "auth.token_url",
    "auth_client_id": "auth.client_id",
    "auth_scope": "auth.scope",
    "refresh_token_env": "auth.refresh_token_env",
    "secret_env": "auth.secret_env",
    "passphrase_env": "auth.passphrase_env",
    "url": "base_url",
}


class _ConnectionDescription(Options):
    connect_timeout: Number = column(Connection, "connect_timeout")
    read_timeout: Number = column(Connection, "read_timeout")

    @field_validator("auth", mode="before", check_fields=False)
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"type": value}
        return {"type": "none", **value} if isinstance(value, Mapping) else value


def _check_proxy(value: str) -> str:
    if "@" in value:
        raise ValueError(
            gettext("Credentials are not supported; let the proxy accept the workers by their address.")
        )
    if urlsplit(check_http_address(value)).path.strip("/"):
        raise ValueError(gettext("A proxy has no path; write an address such as http://proxy.example:3128."))
    return value


def _check_absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(gettext("Not an absolute path; start it with a slash."))
    return value


class HttpConnection(_ConnectionDescription):
    """Connection to an HTTP API."""

    kind: Literal["http"]
    base_url: Annotated[Text, AfterValidator(check_http_address)] = Field(
        title=_("Base URL"),
        description=_("Address that paths are appended to, such as https://shop.example/api."),
    )
    requests_per_minute: WholeNumber | None = column(Connection, "requests_per_minute")
    proxy: Annotated[Text, AfterValidator(_check_proxy)] = column(Connection, "proxy")
    ca_file: Annotated[Text, AfterValidator(_check_absolute)] = column(Connection, "ca_file")
    client_cert_file: Annotated[Text, AfterValidator(_check_absolute)] = column(
        Connection, "client_cert_file"
    )
    auth: NoAuth | BearerAuth | BasicAuth | HeaderAuth | QueryAuth | OAuth2Auth = Field(
        NoAuth(), discriminator="type", title=_("Authentication")
    )


class FileConnection(_ConnectionDescription):
    """Connection to a folder: on this host, on a server, or in a bucket."""

    kind: Literal["file"]
    url: Annotated[Text, AfterValidator(check_file_address)] = Field(
        title=_("URL"),
        description=_("Address of the folder: file:///srv/drop, s3://bucket/prefix, sftp://host/folder."),
    )
    auth: NoAuth | BasicAuth | KeyAuth = Field(NoAuth(), discriminator="type", title=_("Authentication"))

    @field_validator("auth")
    @classmethod
    def _check_auth(cls, value: Options, info: ValidationInfo) -> Options:
        url = info.data.get("url")
        if isinstance(value, KeyAuth) and url and urlsplit(url).scheme not in SSH_SCHEMES:
            raise ValueError(gettext("Only sftp:// supports private keys; use basic authentication or none."))
        return value


type ConnectionDescription = HttpConnection | FileConnection
CONNECTIONS: dict[str, type[ConnectionDescription]] = {"http": HttpConnection, "file": FileConnection}


def load_connection(name: str, data: Mapping[str, Any]) -> Outcome:
    """Creates or updates the connection `name`. Raises ValidationError by key of `data`."""
    connection = Connection.objects.filter(name=name).first() or Connection(name=name)
    description = read_connection(data, stored=connection)
    auth: Any = description.auth
    fields = {
        "kind": description.kind,
        "url": description.base_url if isinstance(description, HttpConnection) else description.url,
        "connect_timeout": description.connect_timeout,
        "read_timeout": description.read_timeout,
        "requests_per_minute": getattr(description, "requests_per_minute", None),
        "proxy": getattr(description, "proxy", ""),
        "ca_file": getattr(description, "ca_file", ""),
        "client_cert_file": getattr(description, "client_cert_file", ""),
        "auth": auth.type,
        "auth_username": getattr(auth, "username", ""),
        "auth_header": getattr(auth, "header", ""),
        "auth_query": getattr(auth, "query", ""),
        "auth_grant": getattr(auth, "grant", Connection.Grant.CLIENT_CREDENTIALS),
        "auth_token_url": getattr(auth, "token_url", ""),
        "auth_client_id": getattr(auth, "client_id", ""),
        "auth_scope": getattr(auth, "scope", ""),
        "secret_env": getattr(auth, "secret_env", ""),
        "secret_encrypted": ""
        if isinstance(auth, NoAuth) or auth.secret_env
        else reencrypted(connection.secret_encrypted, auth.secret),
        "passphrase_env": getattr(auth, "passphrase_env", ""),
        "passphrase_encrypted": ""
        if not isinstance(auth, KeyAuth) or auth.passphrase_env
        else reencrypted(connection.passphrase_encrypted, auth.passphrase),
        "refresh_token_env": getattr(auth, "refresh_token_env", ""),
        "refresh_token_encrypted": ""
        if getattr(auth, "grant", "") != Connection.Grant.REFRESH_TOKEN or auth.refresh_token_env
        else reencrypted(connection.refresh_token_encrypted, auth.refresh_token),
    }
    outcome = outcome_of(connection, changed=assign(connection, fields))
    validate(connection, KEY_OF_FIELD)
    if outcome != "unchanged":
        connection.save()
    return outcome


def read_connection(data: Mapping[str, Any], *, stored: Connection | None = None) -> ConnectionDescription:
    """`data` as the description of its kind. `url` is another name of `base_url`. Raises ValidationError by key.

    Secrets that `stored` has need not be in `data`.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in CONNECTIONS:
        raise ValidationError({"kind": [choice_message(kind or "", CONNECTIONS)]})
    if kind == "http" and "url" in data and "base_url" not in data:
        data = {("base_url" if key == "url" else key): value for key, value in data.items()}
    auth = data.get("auth")
    is_key = (auth.get("type") if isinstance(auth, Mapping) else auth) == Connection.Auth.KEY
    # A private key is never used as a password, or the other way round.
    may_reuse = stored is not None and (stored.auth == Connection.Auth.KEY) == is_key
    return read_options(
        CONNECTIONS[kind],
        data,
        has_stored_secret=bool(may_reuse and stored and stored.secret_encrypted),
        has_stored_refresh_token=bool(may_reuse and stored and stored.refresh_token_encrypted),
        has_stored_passphrase=bool(may_reuse and stored and stored.passphrase_encrypted),
    )
