"""Authentication of a connection: the options of each type."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, Field, StrictStr, ValidationInfo, field_validator

from apps.services.definition.connection_url import validate_address
from apps.services.definition.option_types import HeaderName, Options, Text, VariableName
from apps.services.definition.rows import column
from apps.services.models import Connection
from apps.services.private_key import InvalidPrivateKey, check_private_key, read_private_key

# Characters of a private key; RSA with 16384 bits has 13,000.
_MAX_KEY_LENGTH = 20_000


def check_http_address(value: str) -> str:
    return _checked_address("http", value)


def check_file_address(value: str) -> str:
    return _checked_address("file", value)


def _checked_address(kind: str, value: str) -> str:
    try:
        validate_address(kind, value)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return value


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


def check_presence(
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
    check_http_address(value.partition("?")[0])
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
        return check_presence(_check_printable(value), info)


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
        return check_presence(value, info)

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
        return check_presence(_check_printable(value), info, "refresh_token_env", "has_stored_refresh_token")

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: str, info: ValidationInfo) -> str:
        # Public clients, which have no secret, use refresh tokens.
        is_optional = info.data.get("grant") == "refresh_token"
        check = partial(_check_single, variable="secret_env") if is_optional else check_presence
        return check(_check_printable(value), info)
