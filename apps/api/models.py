"""API tokens."""

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

# Format of a token, which secret scanners recognize: prefix, 256 random bits in base 62, CRC-32 of both in base 62.
PREFIX = "synclog_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 43
_CHECKSUM_LENGTH = 6
# Without run:report and metrics:read, which few tokens need.
DEFAULT_SCOPES = ["run:read", "run:start", "payload:read"]
DEFAULT_DAYS = 90
MAX_DAYS = 365
# Time before the expiry during which responses announce it.
_EXPIRY_NOTICE = timedelta(days=14)


def new_secret() -> str:
    """A token in clear text: `synclog_` + 43 random characters + 6 characters of checksum."""
    body = PREFIX + _base62(secrets.randbits(256), _RANDOM_LENGTH)
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether prefix, length and checksum are valid; needs no query."""
    body, checksum = secret[:-_CHECKSUM_LENGTH], secret[-_CHECKSUM_LENGTH:]
    return (
        secret.startswith(PREFIX)
        and len(secret) == len(PREFIX) + _RANDOM_LENGTH + _CHECKSUM_LENGTH
        and secrets.compare_digest(checksum.encode(), _checksum(body).encode())
    )


def digest(secret: str) -> str:
    """SHA-256 in hexadecimal, which is stored. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _position in range(length):
        number, remainder = divmod(number, 62)
        digits.append(_DIGITS[remainder])
    return "".join(reversed(digits))


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self) -> Self:
        """Neither revoked nor expired by the clock of the database, and of an active user."""
        return self.filter(expires_at__gt=Now(), revoked_at=None, user__is_active=True)

    def with_limits(self) -> Self:
        """Adds `is_limited`: whether the token is limited to services, even if these were deleted."""
        return self.annotate(is_limited=Exists(ApiTokenService.objects.filter(token=OuterRef("pk"))))

    def with_state(self) -> Self:
        """Adds `state` by the clock of the database: active, expiring, revoked, expired or user_inactive."""
        return self.annotate(
            state=Case(
                When(revoked_at__isnull=False, then=Value("revoked")),
                When(expires_at__lte=Now(), then=Value("expired")),
                When(user__is_active=False, then=Value("user_inactive")),
                When(expires_at__lte=Now() + _EXPIRY_NOTICE, then=Value("expiring")),
                default=Value("active"),
                output_field=models.CharField(),
            )
        )


class ApiToken(models.Model):
    """API key of one user. Only its digest is stored, so it is shown once."""

    class Scope(models.TextChoices):
        RUN_READ = "run:read", _("Read services, runs and logs")
        RUN_START = "run:start", _("Start and cancel runs")
        PAYLOAD_READ = "payload:read", _("List and fetch payloads")
        RUN_REPORT = "run:report", _("Report runs of other systems")
        METRICS_READ = "metrics:read", _("Read metrics")

    name = models.CharField(_("name"), max_length=100)
    # Beginning of the token, to recognize it.
    prefix = models.CharField(_("prefix"), max_length=20, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    services = models.ManyToManyField(
        Service,
        through="ApiTokenService",
        blank=True,
        verbose_name=_("services"),
        help_text=_("Empty: all services that the user may see."),
    )

    scopes = models.JSONField(_("scopes"), default=list)

    created_at = models.DateTimeField(_("created"), db_default=Now())
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True, blank=True)

    # Set by with_limits() and with_state().
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
        """Creates a token and returns it with its clear text, which is available only here.

        Raises ValueError for a lifetime of more than a year.
        """
        if expires_at > timezone.now() + timedelta(days=MAX_DAYS, minutes=1):
            raise ValueError("A token is valid for at most one year.")
        token = cls(user=user, name=name, scopes=sorted(scopes), expires_at=expires_at)
        secret = token.set_new_secret()
        token.save(force_insert=True)
        token.services.set(services)
        return token, secret

    def set_new_secret(self) -> str:
        """Gives the row a new secret and returns it in clear text. The caller saves."""
        secret = new_secret()
        self.prefix = secret[: len(PREFIX) + 4]
        self.digest = digest(secret)
        return secret

    def revoke(self) -> None:
        """Revokes the token at once; the row stays as a record."""
        type(self).objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=Now())

    @property
    def expires_soon(self) -> bool:
        """Whether responses announce the expiry."""
        return self.expires_at - timezone.now() < _EXPIRY_NOTICE

    def record_use(self, address: str | None) -> None:
        """Records time and address of the last use, at most once a minute per address; otherwise no query."""
        minute_ago = timezone.now() - timedelta(minutes=1)
        if self.last_used_at and self.last_used_at > minute_ago and self.last_used_from == address:
            return
        type(self).objects.filter(pk=self.pk).update(last_used_at=Now(), last_used_from=address)


class ApiTokenService(models.Model):
    """A service that a token is limited to. The row outlives the service; without it the token would be unlimited."""

    token = models.ForeignKey(ApiToken, models.CASCADE, related_name="+")
    service = models.ForeignKey(Service, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "service"], name="api_token_service_once"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id}/{self.service_id}"
