"""Description of a channel, as in a YAML file, and its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from apps.alerts.channels.apprise import check_apprise_url
from apps.alerts.channels.errors import DeliveryError
from apps.alerts.channels.webhook import signing_key
from apps.alerts.models import Channel
from apps.audit.masking import MASK
from apps.services.connectors.address_guard import check_host
from apps.services.connectors.base import ConnectorError
from apps.services.definition.authentication import check_http_address, check_presence
from apps.services.definition.option_errors import choice_message, read_options
from apps.services.definition.option_types import Flag, Options, Text, VariableName
from apps.services.definition.rows import Outcome, assign, column, outcome_of, validate
from apps.services.definition.sections import OmittedSecrets, Section
from apps.services.secrets import reencrypted

_MAX_ADDRESSES = 100


def _as_list(value: Any) -> Any:
    """One address needs no list."""
    return [value] if isinstance(value, str) else value


def _check_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(value) <= _MAX_ADDRESSES:
        raise ValueError(gettext("Write from 1 to %(max)d addresses.") % {"max": _MAX_ADDRESSES})
    for address in value:
        try:
            validate_email(address)
        except ValidationError:
            raise ValueError(
                gettext("“%(address)s” is not a mail address; write one such as ops@example.com.")
                % {"address": address[:100]}
            ) from None
    return tuple(dict.fromkeys(value))


def _check_webhook(value: str) -> str:
    if MASK in value:
        raise ValueError(gettext("A secret in the URL is masked; replace %(mask)s by it.") % {"mask": MASK})
    # Some systems identify the sender by a parameter.
    check_http_address(value.partition("?")[0])
    try:
        check_host(urlsplit(value).hostname or "")
    except ConnectorError as error:
        raise ValueError(str(error)) from None
    return value


class _ChannelDescription(Options):
    language: Literal["en", "de"] = column(Channel, "language")
    is_active: Flag = column(Channel, "is_active")


class EmailChannel(_ChannelDescription):
    """Mail to one address or to a group of recipients."""

    kind: Literal["email"]
    to: Annotated[
        tuple[Text, ...],
        BeforeValidator(_as_list, json_schema_input_type=tuple[Text, ...] | Text),
        AfterValidator(_check_addresses),
    ] = Field(title=_("Addresses"), description=_("Addresses that get each message."))


class AppriseChannel(_ChannelDescription):
    """A service that Apprise knows, such as a chat."""

    kind: Literal["apprise"]
    url_env: VariableName = Field(
        "",
        title=_("URL from environment variable"),
        description=_("Environment variable of the workers that contains the Apprise URL."),
    )
    url: Text = Field(
        "",
        title=_("Apprise URL"),
        description=_("Address of the service for Apprise, such as slack://…. It is stored encrypted."),
        validate_default=True,
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str, info: ValidationInfo) -> str:
        check_presence(value, info, "url_env")
        if value:
            _raise_value_error(check_apprise_url, value)
        return value


class WebhookChannel(_ChannelDescription):
    """A system that gets signed HTTP requests."""

    kind: Literal["webhook"]
    url: Annotated[Text, AfterValidator(_check_webhook)] = Field(
        title=_("URL"), description=_("Address of the webhook, such as https://pager.example/in.")
    )
    secret_env: VariableName = Field(
        "",
        title=_("Secret from environment variable"),
        description=_("Environment variable of the workers that contains the secret."),
    )
    secret: Text = Field(
        "",
        title=_("Secret"),
        description=_(
            "Signs the requests: whsec_ and 24 to 64 random bytes in Base64. It is stored encrypted."
        ),
        validate_default=True,
    )

    @field_validator("secret")
    @classmethod
    def _check_key(cls, value: str, info: ValidationInfo) -> str:
        check_presence(value, info, "secret_env")
        if value:
            _raise_value_error(signing_key, value)
        return value


def _raise_value_error(check: Any, value: str) -> None:
    try:
        check(value)
    except DeliveryError as error:
        raise ValueError(str(error)) from None


type ChannelDescription = EmailChannel | AppriseChannel | WebhookChannel
CHANNELS: dict[str, type[ChannelDescription]] = {
    "email": EmailChannel,
    "apprise": AppriseChannel,
    "webhook": WebhookChannel,
}


def read_channel(data: Mapping[str, Any], *, stored: Channel | None = None) -> ChannelDescription:
    """`data` as the description of its kind. Raises ValidationError by key.

    A secret that `stored` has need not be in `data`.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in CHANNELS:
        raise ValidationError({"kind": [choice_message(kind or "", CHANNELS)]})
    # A secret of one kind means nothing to another.
    has_stored = stored is not None and stored.kind == kind and bool(stored.secret_encrypted)
    return read_options(CHANNELS[kind], data, has_stored_secret=has_stored)


def load_channel(name: str, data: Mapping[str, Any]) -> Outcome:
    """Creates or updates the channel `name`. Raises ValidationError by key of `data`."""
    channel = Channel.objects.filter(name=name).first() or Channel(name=name)
    if channel.url and data.get("url") == _exported_url(channel):
        # With masked secrets, which stay as they are stored.
        data = {**data, "url": channel.url}
    description = read_channel(data, stored=channel)
    fields = fields_of_channel(channel, description)
    outcome = outcome_of(channel, changed=assign(channel, fields))
    validate(channel, {})
    if outcome != "unchanged":
        channel.save()
    return outcome


def fields_of_channel(channel: Channel, description: ChannelDescription) -> dict[str, Any]:
    """Columns of the channel for the description; a secret that is not in it stays as it is stored."""
    if isinstance(description, AppriseChannel):
        variable, secret = description.url_env, description.url
    else:
        variable, secret = getattr(description, "secret_env", ""), getattr(description, "secret", "")
    stored = channel.secret_encrypted if channel.kind == description.kind else ""
    if variable or isinstance(description, EmailChannel):
        stored = ""
    return {
        "kind": description.kind,
        "to": list(description.to) if isinstance(description, EmailChannel) else [],
        "url": description.url if isinstance(description, WebhookChannel) else "",
        "secret_env": variable,
        "secret_encrypted": reencrypted(stored, secret),
        "language": description.language,
        "is_active": description.is_active,
    }


def export_channels() -> dict[str, Any]:
    """Every channel as in a file, without its secret."""
    return {channel.name: _exported(channel) for channel in Channel.objects.order_by("name")}


def _exported(channel: Channel) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": channel.kind}
    variable = _variable_key(channel)
    values = {
        "to": channel.to,
        "url": _exported_url(channel),
        variable: channel.secret_env,
        "language": channel.language if channel.language != "en" else "",
    }
    data |= {key: value for key, value in values.items() if value}
    return data if channel.is_active else {**data, "is_active": False}


def _exported_url(channel: Channel) -> str:
    """The URL; if a part of it looks like a secret, with a mask instead of it."""
    masked = channel.masked_url
    return masked if MASK in masked else channel.url


def _variable_key(channel: Channel) -> str:
    return "url_env" if channel.kind == Channel.Kind.APPRISE else "secret_env"


def _omitted_secrets() -> OmittedSecrets:
    variables, stored, masked = [], [], []
    for channel in Channel.objects.order_by("name"):
        if channel.secret_env:
            variables.append(f"{channel.secret_env}: secret of the channel {channel.name}")
        elif channel.secret_encrypted:
            stored.append(f"channels.{channel.name}.{_variable_key(channel)}")
        if MASK in _exported_url(channel):
            masked.append(f"channels.{channel.name}.url")
    return OmittedSecrets(variables, stored, masked)


def _find(name: str) -> Channel | None:
    return Channel.objects.filter(name=name).first()


def _annotation() -> Any:
    return Annotated[EmailChannel | AppriseChannel | WebhookChannel, Field(discriminator="kind")]


CHANNEL_SECTION = Section(
    "channels",
    "channel",
    load_channel,
    _find,
    export_channels,
    _annotation,
    {f"Channel of kind {kind}": model for kind, model in CHANNELS.items()},
    omitted_secrets=_omitted_secrets,
)
