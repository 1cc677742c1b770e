"""Description of a connection, as in a YAML file, and its row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, Field, StrictStr, ValidationInfo, field_validator

from apps.services.definition.connection_url import validate_address
from apps.services.definition.option_errors import choice_message, read_options
from apps.services.definition.option_types import HeaderName, Number, Options, Text, VariableName, WholeNumber
from apps.services.definition.rows import Outcome, assign, column, outcome_of, validate
from apps.services.models import Connection
from apps.services.models.connection import SSH_SCHEMES
from apps.services.private_key import InvalidPrivateKey, check_private_key, read_private_key
from apps.services.secrets import SecretUnavailable, decrypt, encrypt

# Characters of a private key; RSA with 16384 bits has 13,000.
_MAX_KEY_LENGTH = 20_000
# Keys of the description whose model field has another name.
_KEY_OF_FIELD = {
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


def _check_username(value: str) -> str:
    if ":" in value or not value.isprintable():
        raise ValueError(gettext("Colons and control characters are not allowed; remove them."))
    return value


def _check_parameter(value: str) -> str:
    if any(character in value for character in "&=#? "):
        raise ValueError(
            gettext("Invalid parameter name; write one without spaces and & = # ?, as in api_key.")
        )
    return value


def _check_presence(
    value: str, info: ValidationInfo, variable: str = "secret_env", stored: str = "has_stored_secret"
) -> str:
    """A secret is entered, stored, or in an environment variable."""
    _check_single(value, info, variable)
    has_secret = value or variable not in info.data or info.data[variable]
    if not has_secret and not (info.context or {}).get(stored):
        raise ValueError(
            gettext("Required; enter the secret, or name the environment variable that contains it.")
        )
    return value


def _check_single(value: str, info: ValidationInfo, variable: str) -> str:
    if value and info.data.get(variable):
        raise ValueError(gettext("Enter a secret or name a variable, not both."))
    return value


def _check_printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(gettext("Line breaks and control characters are not allowed; remove them."))
    return value


def _check_token_url(value: str) -> str:
    # Some systems choose the tenant or the policy by a parameter.
    _check_http_address(value.partition("?")[0])
    return value


class NoAuth(Options):
    """No authentication."""

    type: Literal["none"] = "none"


class _SecretAuth(Options):
    secret_env: VariableName = Field(
        "",
        title=_("Secret from environment variable"),
        description=_("Environment variable of the workers that contains the secret."),
    )
    secret: Text = Field(
        "",
        title=_("Secret"),
        description=_("Token or password. It is stored encrypted."),
        validate_default=True,
    )

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: str, info: ValidationInfo) -> str:
        return _check_presence(_check_printable(value), info)


class BearerAuth(_SecretAuth):
    """Authentication with the header `Authorization: Bearer <secret>`."""

    type: Literal["bearer"] = "bearer"


class BasicAuth(_SecretAuth):
    """Authentication with user name and password (the secret)."""

    type: Literal["basic"] = "basic"
    username: Annotated[Text, AfterValidator(_check_username)] = Field(title=_("User name"))


class HeaderAuth(_SecretAuth):
    """Authentication with a custom header that contains the secret."""

    type: Literal["header"] = "header"
    header: HeaderName = Field(title=_("Header name"), description=_("Such as X-Api-Key."))


class QueryAuth(_SecretAuth):
    """Authentication with a query parameter that contains the secret."""

    type: Literal["query"] = "query"
    query: Annotated[Text, AfterValidator(_check_parameter)] = Field(
        title=_("Parameter name"), description=_("Such as api_key.")
    )


def _check_private_key(value: str) -> str:
    if len(value) > _MAX_KEY_LENGTH:
        raise ValueError(gettext("Too long; write at most %(max)d characters.") % {"max": _MAX_KEY_LENGTH})
    try:
        if value:
            check_private_key(value)
    except InvalidPrivateKey as error:
        raise ValueError(str(error)) from None
    return value


class KeyAuth(Options):
    """Authentication with user name and private key (the secret), for SFTP."""

    type: Literal["key"] = "key"
    username: Annotated[Text, AfterValidator(_check_username)] = Field(title=_("User name"))
    secret_env: VariableName = Field(
        "",
        title=_("Secret from environment variable"),
        description=_("Environment variable of the workers that contains the private key."),
    )
    secret: Annotated[StrictStr, AfterValidator(_check_private_key)] = Field(
        "",
        title=_("Private key"),
        description=_("Private key in PEM or OpenSSH form (Ed25519, RSA or ECDSA). It is stored encrypted."),
        validate_default=True,
    )
    passphrase_env: VariableName = Field(
        "",
        title=_("Passphrase from environment variable"),
        description=_("Environment variable of the workers that contains the passphrase of the private key."),
    )
    passphrase: Text = Field(
        "",
        title=_("Passphrase"),
        description=_("Passphrase of the private key, if it has one. It is stored encrypted."),
        validate_default=True,
    )

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: str, info: ValidationInfo) -> str:
        return _check_presence(value, info)

    @field_validator("passphrase")
    @classmethod
    def _check_passphrase(cls, value: str, info: ValidationInfo) -> str:
        """Tries the passphrase if both it and the private key are known."""
        has_variable = info.data.get("passphrase_env")
        if value and has_variable:
            raise ValueError(gettext("Enter a passphrase or name a variable, not both."))
        may_be_stored = not value and (info.context or {}).get("has_stored_passphrase")
        if info.data.get("secret") and not has_variable and not may_be_stored:
            try:
                read_private_key(info.data["secret"], value)
            except InvalidPrivateKey as error:
                raise ValueError(str(error)) from None
        return value


class OAuth2Auth(Options):
    """Authentication with an access token, which Synclog gets from `token_url` and renews."""

    type: Literal["oauth2"] = "oauth2"
    grant: Literal["client_credentials", "refresh_token"] = column(Connection, "auth_grant")
    token_url: Annotated[Text, AfterValidator(_check_token_url)] = Field(
        title=_("Token URL"),
        description=_("Address of the token endpoint, such as https://crm.example/token."),
    )
    client_id: Text = Field(title=_("Client ID"))
    scope: Text = column(Connection, "auth_scope")
    refresh_token_env: VariableName = column(Connection, "refresh_token_env")
    refresh_token: Text = Field(
        "",
        title=_("Refresh token"),
        description=_("It is stored encrypted, and replaced when the other system sends a new one."),
        validate_default=True,
    )
    secret_env: VariableName = Field(
        "",
        title=_("Secret from environment variable"),
        description=_("Environment variable of the workers that contains the secret."),
    )
    secret: Text = Field(
        "",
        title=_("Secret"),
        description=_("Secret of the client. It is stored encrypted."),
        validate_default=True,
    )

    @field_validator("refresh_token")
    @classmethod
    def _check_refresh_token(cls, value: str, info: ValidationInfo) -> str:
        is_unused = info.data.get("grant") != "refresh_token"
        if is_unused and (value or info.data.get("refresh_token_env")):
            raise ValueError(gettext("Used by the grant refresh_token only; choose it, or leave this empty."))
        if is_unused:
            return value
        return _check_presence(_check_printable(value), info, "refresh_token_env", "has_stored_refresh_token")

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: str, info: ValidationInfo) -> str:
        # Public clients, which have no secret, use refresh tokens.
        is_optional = info.data.get("grant") == "refresh_token"
        check = partial(_check_single, variable="secret_env") if is_optional else _check_presence
        return check(_check_printable(value), info)


class _ConnectionDescription(Options):
    connect_timeout: Number = column(Connection, "connect_timeout")
    read_timeout: Number = column(Connection, "read_timeout")

    @field_validator("auth", mode="before", check_fields=False)
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"type": value}
        return {"type": "none", **value} if isinstance(value, Mapping) else value


def _check_http_address(value: str) -> str:
    return _checked_address("http", value)


def _check_file_address(value: str) -> str:
    return _checked_address("file", value)


def _checked_address(kind: str, value: str) -> str:
    try:
        validate_address(kind, value)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return value


def _check_proxy(value: str) -> str:
    if "@" in value:
        raise ValueError(
            gettext("Credentials are not supported; let the proxy accept the workers by their address.")
        )
    if urlsplit(_check_http_address(value)).path.strip("/"):
        raise ValueError(gettext("A proxy has no path; write an address such as http://proxy.example:3128."))
    return value


def _check_absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(gettext("Not an absolute path; start it with a slash."))
    return value


class HttpConnection(_ConnectionDescription):
    """Connection to an HTTP API."""

    kind: Literal["http"]
    base_url: Annotated[Text, AfterValidator(_check_http_address)] = Field(
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
    url: Annotated[Text, AfterValidator(_check_file_address)] = Field(
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
        else _encrypted(connection.secret_encrypted, auth.secret),
        "passphrase_env": getattr(auth, "passphrase_env", ""),
        "passphrase_encrypted": ""
        if not isinstance(auth, KeyAuth) or auth.passphrase_env
        else _encrypted(connection.passphrase_encrypted, auth.passphrase),
        "refresh_token_env": getattr(auth, "refresh_token_env", ""),
        "refresh_token_encrypted": ""
        if getattr(auth, "grant", "") != Connection.Grant.REFRESH_TOKEN or auth.refresh_token_env
        else _encrypted(connection.refresh_token_encrypted, auth.refresh_token),
    }
    outcome = outcome_of(connection, changed=assign(connection, fields))
    validate(connection, _KEY_OF_FIELD)
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
    may_keep = stored is not None and (stored.auth == Connection.Auth.KEY) == is_key
    return read_options(
        CONNECTIONS[kind],
        data,
        has_stored_secret=bool(may_keep and stored and stored.secret_encrypted),
        has_stored_refresh_token=bool(may_keep and stored and stored.refresh_token_encrypted),
        has_stored_passphrase=bool(may_keep and stored and stored.passphrase_encrypted),
    )


def _encrypted(stored: str, secret: str) -> str:
    """The encrypted secret for the row; the stored text if the secret is empty or has not changed."""
    if not secret:
        return stored
    try:
        if stored and decrypt(stored) == secret:
            return stored
    except SecretUnavailable:
        # The key has changed: the secret is encrypted anew.
        pass
    return encrypt(secret)
