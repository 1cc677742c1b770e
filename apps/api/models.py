"""Tokens: what a machine shows to be let in."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Case, Exists, OuterRef, Value, When
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.services.models import Service

# Told from other strings by secret scanners: prefix, 256 random bits in base 62, CRC-32 of both in base 62.
PREFIX = "synclog_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 43
_CHECKSUM_LENGTH = 6
MAX_LIFETIME = timedelta(days=365)
# How long before its end a token is told of.
WARNING_TIME = timedelta(days=14)


def new_secret() -> str:
    """A token in clear text: `synclog_` + 43 random characters + 6 characters of checksum."""
    body = PREFIX + _base62(secrets.randbits(256), _RANDOM_LENGTH)
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether prefix, length and checksum are right; says so without a query."""
    body, checksum = secret[:-_CHECKSUM_LENGTH], secret[-_CHECKSUM_LENGTH:]
    return (
        secret.startswith(PREFIX)
        and len(secret) == len(PREFIX) + _RANDOM_LENGTH + _CHECKSUM_LENGTH
        and secrets.compare_digest(checksum.encode(), _checksum(body).encode())
    )


def digest(secret: str) -> str:
    """SHA-256 in hexadecimal: what is kept of a token. 256 random bits need no salt and no stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _position in range(length):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self) -> Self:
        """Neither revoked nor expired, by the database's clock, and of an active user."""
        return self.filter(expires_at__gt=Now(), revoked_at=None, user__is_active=True)

    def with_limits(self) -> Self:
        """Adds `is_limited`: whether the token is for some services only, be they still there or not."""
        return self.annotate(is_limited=Exists(ApiTokenService.objects.filter(token=OuterRef("pk"))))

    def with_state(self) -> Self:
        """Adds `state` by the database's clock: active, expiring (soon), or why it is neither.

        Those are: revoked, expired, user_inactive.
        """
        return self.annotate(
            state=Case(
                When(revoked_at__isnull=False, then=Value("revoked")),
                When(expires_at__lte=Now(), then=Value("expired")),
                When(user__is_active=False, then=Value("user_inactive")),
                When(expires_at__lte=Now() + WARNING_TIME, then=Value("expiring")),
                default=Value("active"),
                output_field=models.CharField(),
            )
        )


class ApiToken(models.Model):
    """A named key of one user for the API; only its digest is kept, so it is shown once."""

    class Scope(models.TextChoices):
        RUN_READ = "run:read", _("Read services, runs and logs")
        RUN_START = "run:start", _("Start and cancel runs")
        PAYLOAD_READ = "payload:read", _("List and fetch payloads")
        RUN_REPORT = "run:report", _("Report runs that happen elsewhere")
        METRICS_READ = "metrics:read", _("Read figures for monitoring")

    name = models.CharField(_("name"), max_length=100)
    # The start of the token, to tell several apart.
    prefix = models.CharField(_("begins with"), max_length=20, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    services = models.ManyToManyField(
        Service,
        through="ApiTokenService",
        blank=True,
        verbose_name=_("services"),
        help_text=_("With none, all that its user may see."),
    )

    scopes = models.JSONField(_("scopes"), default=list)

    created_at = models.DateTimeField(_("created"), db_default=Now())
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True, blank=True)

    # Where the queryset adds them: with_limits(), with_state().
    is_limited: bool
    state: str

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(
        cls,
        *,
        user: Any,
        name: str,
        scopes: Collection[str],
        expires_at: datetime,
        services: Collection[Service] = (),
    ) -> tuple[ApiToken, str]:
        """A new token and its clear text, which is to be had here and never again.

        Raises ValueError where it would live for more than a year.
        """
        if expires_at > timezone.now() + MAX_LIFETIME + timedelta(minutes=1):
            raise ValueError("A token lives for a year at the most.")
        token = cls(user=user, name=name, scopes=sorted(scopes), expires_at=expires_at)
        secret = token.set_new_secret()
        token.save(force_insert=True)
        token.services.set(services)
        return token, secret

    def set_new_secret(self) -> str:
        """Give the row a new secret, and tell it in clear text. The caller saves."""
        secret = new_secret()
        self.prefix = secret[: len(PREFIX) + 4]
        self.digest = digest(secret)
        return secret

    def revoke(self) -> None:
        """Make the token useless at once; the row stays as the record."""
        type(self).objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=Now())

    @property
    def expires_soon(self) -> bool:
        """Whether whoever uses it should be told to see to a new one."""
        return self.expires_at - timezone.now() < WARNING_TIME

    def touch(self, address: str | None) -> None:
        """Note the use, at most once a minute; a use that is already noted costs no query."""
        minute_ago = timezone.now() - timedelta(minutes=1)
        if self.last_used_at and self.last_used_at > minute_ago and self.last_used_from == address:
            return
        type(self).objects.filter(pk=self.pk).update(last_used_at=Now(), last_used_from=address)


class ApiTokenService(models.Model):
    """One service that a token is for. It outlives the service, or else the token would be for all of them."""

    token = models.ForeignKey(ApiToken, models.CASCADE, related_name="+")
    service = models.ForeignKey(Service, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "service"], name="api_token_service_once"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id}/{self.service_id}"
