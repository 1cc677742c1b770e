"""Connections to other systems."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self
from urllib.parse import quote_plus, urlsplit

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from apps.audit.changes import Masked, Values, column_values
from apps.services.definition.connection_url import without_secrets
from apps.services.models.service import Service
from apps.services.models.stored_secret import StoredSecret
from apps.services.secrets import SecretUnavailable, decrypt, encrypt, secret_from_environment

SSH_SCHEMES = ("sftp", "ssh")


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def not_hidden_from(self, user: Any) -> Self:
        """Connections that are used by a service which is not hidden from `user`, or by no service."""
        services = Service.objects.filter(
            Q(source_connection=OuterRef("pk")) | Q(destination_connection=OuterRef("pk"))
        )
        return self.filter(Exists(services.not_hidden_from(user)) | ~Exists(services))


class Connection(StoredSecret, models.Model):
    """A system that services pull from or push to, with its authentication."""

    class Kind(models.TextChoices):
        HTTP = "http", _("HTTP")  # A REST API: `url` is its base address.
        FILE = "file", _("Files")  # Any fsspec URL: file://, s3://, sftp://.

    class Auth(models.TextChoices):
        NONE = "none", _("None")
        BEARER = "bearer", _("Bearer token")  # Authorization: Bearer <secret>
        BASIC = "basic", _("User name and password")  # The secret is the password.
        HEADER = "header", _("Custom header")  # <auth_header>: <secret>
        QUERY = "query", _("Query parameter")  # ?<auth_query>=<secret>
        KEY = "key", _("User name and private key")  # The secret is the private key, for SFTP.
        OAUTH2 = "oauth2", _("OAuth 2")  # Authorization: Bearer <token of auth_token_url>

    class Grant(models.TextChoices):
        CLIENT_CREDENTIALS = "client_credentials", _("Client credentials")  # Client ID and secret.
        REFRESH_TOKEN = "refresh_token", _("Refresh token")  # Of a user who authorized the client.

    name = models.SlugField(
        _("name"), max_length=100, unique=True, help_text=_("Name in services and YAML files.")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)

    url = models.CharField(
        _("URL"),
        max_length=500,
        help_text=_(
            "HTTP: base address, such as https://shop.example/api. Files: file:///srv/drop, s3://…, sftp://…"
        ),
    )
    connect_timeout = models.FloatField(
        _("connect timeout (s)"),
        default=5,
        validators=[MinValueValidator(0.1), MaxValueValidator(120)],
        help_text=_("Time to wait for a connection."),
    )
    read_timeout = models.FloatField(
        _("read timeout (s)"),
        default=30,
        validators=[MinValueValidator(0.1), MaxValueValidator(3600)],
        help_text=_("Time to wait for the next part of a response."),
    )
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(60_000)],
        help_text=_("Limit for all runs together. Empty: no limit."),
    )
    proxy = models.CharField(
        _("proxy"),
        max_length=500,
        blank=True,
        help_text=_("Address of an HTTP proxy, such as http://proxy.example:3128."),
    )
    ca_file = models.CharField(
        _("CA file"),
        max_length=500,
        blank=True,
        help_text=_("File on the workers with certificates of private authorities, in PEM form."),
    )
    client_cert_file = models.CharField(
        _("client certificate file"),
        max_length=500,
        blank=True,
        help_text=_("File on the workers with a client certificate and its private key, in PEM form."),
    )

    auth = models.CharField(_("authentication"), max_length=10, choices=Auth, default=Auth.NONE)
    auth_username = models.CharField(_("user name"), max_length=200, blank=True)
    auth_header = models.CharField(
        _("header name"), max_length=100, blank=True, help_text=_("Such as X-Api-Key.")
    )
    auth_query = models.CharField(
        _("parameter name"), max_length=100, blank=True, help_text=_("Such as api_key.")
    )
    auth_grant = models.CharField(
        _("grant"),
        max_length=20,
        choices=Grant,
        default=Grant.CLIENT_CREDENTIALS,
        help_text=_("How to get an access token."),
    )
    auth_token_url = models.CharField(
        _("token URL"),
        max_length=500,
        blank=True,
        help_text=_("Address of the token endpoint, such as https://crm.example/token."),
    )
    auth_client_id = models.CharField(_("client ID"), max_length=200, blank=True)
    auth_scope = models.CharField(
        _("scope"), max_length=500, blank=True, help_text=_("Scopes, separated by spaces. Empty: not sent.")
    )
    refresh_token_env = models.CharField(
        _("refresh token from environment variable"),
        max_length=100,
        blank=True,
        help_text=_("Environment variable of the workers that contains the refresh token."),
    )
    refresh_token_encrypted = models.TextField(_("refresh token"), blank=True, editable=False)
    secret_env = models.CharField(
        _("secret from environment variable"),
        max_length=100,
        blank=True,
        help_text=_(
            "Environment variable of the workers that contains the secret, such as SHOP_TOKEN. "
            "Replaces a stored secret."
        ),
    )
    secret_encrypted = models.TextField(_("secret"), blank=True, editable=False)
    # Of the private key.
    passphrase_env = models.CharField(
        _("passphrase from environment variable"),
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "Environment variable of the workers that contains the passphrase of the private key. "
            "Replaces a stored passphrase."
        ),
    )
    passphrase_encrypted = models.TextField(
        _("passphrase"), blank=True, default="", db_default="", editable=False
    )

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        constraints = [
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gte=1),
                name="connection_requests_per_minute_positive",
            ),
            models.CheckConstraint(condition=Q(kind__in=["http", "file"]), name="connection_kind_known"),
            models.CheckConstraint(
                condition=Q(auth__in=["none", "bearer", "basic", "header", "query", "oauth2", "key"]),
                name="connection_auth_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def audit_values(self) -> Values:
        """Values for the audit log."""
        urls = {name: getattr(self, name) for name in ("url", "proxy", "auth_token_url")}
        return column_values(self) | {name: Masked(url, without_secrets(url)) for name, url in urls.items()}

    def set_passphrase(self, passphrase: str) -> None:
        """Encrypts the passphrase of the private key into the row. The caller saves."""
        self.passphrase_encrypted = encrypt(passphrase) if passphrase else ""

    def get_passphrase(self) -> str:
        """Passphrase of the private key in clear text, empty if there is none. Raises SecretUnavailable."""
        if self.passphrase_env:
            return secret_from_environment(self.passphrase_env)
        return decrypt(self.passphrase_encrypted) if self.passphrase_encrypted else ""

    def set_refresh_token(self, token: str) -> None:
        """Encrypts `token` into the row. The caller saves."""
        self.refresh_token_encrypted = encrypt(token) if token else ""

    def get_refresh_token(self) -> str:
        """The refresh token in clear text, as it was entered. Raises SecretUnavailable."""
        if self.refresh_token_env:
            return secret_from_environment(self.refresh_token_env)
        return decrypt(self.refresh_token_encrypted) if self.refresh_token_encrypted else ""

    def secrets(self) -> Iterator[str]:
        """Secrets to mask in a log. One that is not available cannot appear there."""
        with suppress(SecretUnavailable):
            if secret := self.get_secret():
                yield secret
                if self.auth == self.Auth.KEY:
                    # A message may contain one line of the key.
                    yield from secret.replace("\\n", "\n").splitlines()
                if self.auth == self.Auth.BASIC:
                    # As in the header, RFC 7617.
                    yield b64encode(f"{self.auth_username}:{secret}".encode()).decode()
                if self.auth == self.Auth.OAUTH2:
                    credentials = f"{quote_plus(self.auth_client_id)}:{quote_plus(secret)}"
                    yield b64encode(credentials.encode()).decode()
        with suppress(SecretUnavailable):
            if token := self.get_refresh_token():
                yield token
        with suppress(SecretUnavailable):
            if passphrase := self.get_passphrase():
                yield passphrase

    @property
    def custom_header(self) -> str:
        """Header that contains the secret, empty for other kinds of authentication."""
        return self.auth_header if self.auth == self.Auth.HEADER else ""

    @property
    def ssh_host(self) -> str:
        """Host of an SFTP connection as in a known_hosts file, empty for other connections."""
        return ssh_host(self.url)


def ssh_host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in SSH_SCHEMES or not parts.hostname:
        return ""
    return parts.hostname if parts.port in (None, 22) else f"[{parts.hostname}]:{parts.port}"
